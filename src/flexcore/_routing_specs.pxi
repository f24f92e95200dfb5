# Spec: pair programs and order_by, over facets of workers and kinds of tasks.

cdef enum:
    KEPT_MAX = 1024         # kinds and facets kept without anybody, and half of all
    ANYBODY = -1            # as the known worker of a task
    NOBODY = 0

cdef enum Verdict:
    UNKNOWN
    REFUSED
    ACCEPTED


@cython.final
cdef class Spec:

    def __cinit__(
        self,
        tuple pair not None,
        tuple order_by not None,
        Profiles profiles not None,
        Workers workers not None,
        dict channels,
    ):
        self.values = profiles.values
        self.profiles = profiles
        self.workers = workers
        self.pair = pair
        self.order_by = order_by
        self.task_paths = []
        self.program = self.lower(pair, channels) if pair else None
        for operand, descending in order_by:
            self.clauses.push_back(
                Clause(self.operand(operand, channels), bool(descending))
            )

    cdef Program lower(self, tuple source, dict channels):
        """Lower a verified program; paths and constants are kept until close."""
        cdef Program program = Program()
        program.source = source
        for step in source:
            if step[0] == "const":
                program.code.push_back(
                    Instruction(OP_CONST, self.values.intern(step[1]))
                )
            elif step[0] == "path" and step[1] == "task":
                if step[2] not in self.task_paths:
                    self.task_paths.append(step[2])
                program.code.push_back(
                    Instruction(OP_TASK, self.task_paths.index(step[2]))
                )
            elif step[0] in ("path", "live"):
                program.code.push_back(
                    Instruction(OP_WORKER, self.operand(step, channels))
                )
            else:
                program.code.push_back(Instruction(OPERATIONS[step[0]][0], 0))
        program.split()
        return program

    cdef int32_t operand(self, tuple step, dict channels) except -1:
        """Return the place of what is read of a worker; the same twice is one."""
        cdef Operand operand = Operand(-1, -1, 0)
        cdef int32_t place
        if step[0] == "live":
            self.live = True
            operand.channel = channels[step[1]]
            operand.field = FIELDS[step[2]]
        else:
            operand.path = self.profiles.keep_path(step[2])
        for place in range(<int32_t> self.operands.size()):
            if (
                self.operands[place].path == operand.path
                and self.operands[place].channel == operand.channel
                and self.operands[place].field == operand.field
            ):
                if operand.path != -1:
                    self.profiles.path_references[operand.path] -= 1
                return place
        self.operands.push_back(operand)
        return <int32_t> self.operands.size() - 1

    # Facets of workers

    cdef int32_t read(self, int32_t worker) except -1:
        """Return the facet of a worker as the facts are now."""
        cdef Profile *profile = self.profiles.rows[self.workers.rows[worker].profile]
        cdef Operand operand
        self.scratch.clear()
        for operand in self.operands:
            if operand.path == -1:
                self.scratch.push_back(
                    self.workers.live(worker, operand.channel, operand.field)
                )
            else:
                self.scratch.push_back(values_of(profile)[operand.path])
        found = self.facet_at.find(self.scratch)
        if found != self.facet_at.end():
            return dereference(found).second
        return self.add_facet()

    cdef int32_t add_facet(self) except -1:
        """Add a facet of the row in `scratch`, without workers so far."""
        cdef int32_t facet
        cdef Py_ssize_t place
        if self.retired_facets > KEPT_MAX + <int32_t> self.facet_at.size() // 2:
            self.sweep_facets()
        if self.vacant_facets.empty():
            facet = <int32_t> self.facets.size()
            self.facets.resize(facet + 1)
            self.ranks.push_back(0)
            self.facet_used.push_back(False)
            self.facet_barred.push_back(False)
        else:
            facet = self.vacant_facets.back()
            self.vacant_facets.pop_back()
        cdef Facet *row = &self.facets[facet]
        row.row = self.scratch
        row.values = self.scratch
        row.workers = 0
        self.ranks[facet] = 0
        for place in range(<Py_ssize_t> self.operands.size()):
            if self.operands[place].path == -1:
                row.values[place] = self.values.intern(row.row[place])
            elif row.row[place] >= FIRST_ID:
                self.values.rows[row.row[place]].references += 1
        self.facet_used[facet] = True
        self.facet_barred[facet] = self.program is not None and not (
            self.program.may_hold(
                self.values, row.values.data(), self.profiles.stack.data()
            )
        )
        self.facet_at[row.row] = facet
        self.retired_facets += 1
        self.rank(facet)
        return facet

    cdef inline bint bars(self, int32_t worker) noexcept:
        """Say whether a worker suits no task whatever."""
        return self.facet_barred[self.facet_of[worker]]

    cdef int rank(self, int32_t facet) except -1:
        """Find the place of a new facet by order_by."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.ranking.size()
        cdef Py_ssize_t middle
        if self.clauses.empty():
            return 0
        while low < high:
            middle = (low + high) // 2
            if self.compare(self.ranking[middle], facet) <= 0:
                low = middle + 1
            else:
                high = middle
        self.ranking.insert(self.ranking.begin() + low, facet)
        return self.number_ranks()

    cdef int number_ranks(self) except -1:
        cdef Py_ssize_t place
        cdef int32_t rank = 0
        for place in range(<Py_ssize_t> self.ranking.size()):
            if place and self.compare(self.ranking[place - 1], self.ranking[place]):
                rank += 1
            self.ranks[self.ranking[place]] = rank
        return 0

    cdef int compare(self, int32_t one, int32_t other) noexcept:
        """Compare facets by order_by: below, at or above zero. Missing is last."""
        cdef Clause clause
        cdef int32_t left, right
        cdef bint known
        cdef int order
        for clause in self.clauses:
            left = self.facets[one].values[clause.operand]
            right = self.facets[other].values[clause.operand]
            known = self.values.number(left)
            if known != self.values.number(right):
                return -1 if known else 1
            if known:
                order = self.values.compare(left, right)
                if order:
                    return -order if clause.descending else order
        return 0

    cdef int enter(self, int32_t worker, int32_t facet) except -1:
        """Give a worker a facet."""
        if worker >= <int32_t> self.facet_of.size():
            self.facet_of.resize(worker + 1, -1)
        self.facet_of[worker] = facet
        self.retired_facets -= self.facets[facet].workers == 0
        self.facets[facet].workers += 1
        return 0

    cdef int leave(self, int32_t worker) except -1:
        cdef int32_t facet = self.facet_of[worker]
        self.facet_of[worker] = -1
        self.facets[facet].workers -= 1
        self.retired_facets += self.facets[facet].workers == 0
        return 0

    cdef int sweep_facets(self) except -1:
        """Forget the facets nobody has."""
        cdef int32_t facet
        cdef Py_ssize_t kind
        cdef vector[int32_t] ranking
        for facet in range(<int32_t> self.facets.size()):
            if self.facet_used[facet] and self.facets[facet].workers == 0:
                self.facet_used[facet] = False
                self.facet_at.erase(self.facets[facet].row)
                self.values.release_all(self.facets[facet].values)
                vector[uint8_t]().swap(self.facets[facet].verdicts)
                for kind in range(<Py_ssize_t> self.kinds.size()):
                    if facet < <int32_t> self.kinds[kind].verdicts.size():
                        self.kinds[kind].verdicts[facet] = UNKNOWN
                self.vacant_facets.push_back(facet)
        for facet in self.ranking:
            if self.facet_used[facet]:
                ranking.push_back(facet)
        self.ranking.swap(ranking)
        self.retired_facets = 0
        return self.number_ranks()

    # Kinds of tasks

    cdef int32_t kind(self, dict attributes) except -1:
        """Return the kind of a task, with one class more."""
        cdef vector[int32_t] row
        cdef int32_t kind
        for path in self.task_paths:
            row.push_back(self.values.intern(resolve(attributes, path)))
        found = self.kind_at.find(row)
        if found != self.kind_at.end():
            self.values.release_all(row)
            kind = dereference(found).second
            self.retired_kinds -= self.kinds[kind].classes == 0
            self.kinds[kind].classes += 1
            return kind
        if self.retired_kinds > KEPT_MAX + <int32_t> self.kind_at.size() // 2:
            self.sweep_kinds()
        if self.vacant_kinds.empty():
            kind = <int32_t> self.kinds.size()
            self.kinds.resize(kind + 1)
            self.kind_used.push_back(False)
        else:
            kind = self.vacant_kinds.back()
            self.vacant_kinds.pop_back()
        self.kind_used[kind] = True
        self.kinds[kind].row = row
        self.kinds[kind].classes = 1
        self.kind_at[row] = kind
        return kind

    cdef int drop_kind(self, int32_t kind) except -1:
        """Count one class less."""
        self.kinds[kind].classes -= 1
        self.retired_kinds += self.kinds[kind].classes == 0
        return 0

    cdef int sweep_kinds(self) except -1:
        """Forget the kinds no class has."""
        cdef int32_t kind, facet
        cdef TaskKind nothing
        nothing.classes = 0
        for kind in range(<int32_t> self.kinds.size()):
            if self.kind_used[kind] and self.kinds[kind].classes == 0:
                self.kind_used[kind] = False
                self.kind_at.erase(self.kinds[kind].row)
                self.values.release_all(self.kinds[kind].row)
                self.kinds[kind] = nothing
                for facet in range(<int32_t> self.facets.size()):
                    if kind < <int32_t> self.facets[facet].verdicts.size():
                        self.facets[facet].verdicts[kind] = UNKNOWN
                self.vacant_kinds.push_back(kind)
        self.retired_kinds = 0
        return 0

    cdef bint judge(self, int32_t kind, int32_t facet) except -1:
        """Evaluate the pair program and remember the answer."""
        cdef Facet *row = &self.facets[facet]
        cdef TaskKind *tasks = &self.kinds[kind]
        cdef bint holds = self.program.holds(
            self.values, row.values.data(), tasks.row.data(), self.profiles.stack.data()
        )
        if facet >= <int32_t> tasks.verdicts.size():
            tasks.verdicts.resize(self.facets.size())
        if kind >= <int32_t> row.verdicts.size():
            row.verdicts.resize(self.kinds.size())
        tasks.verdicts[facet] = ACCEPTED if holds else REFUSED
        row.verdicts[kind] = tasks.verdicts[facet]
        return holds

    cdef inline bint suits(self, int32_t facet, int32_t kind) except -1:
        """Say whether a worker suits tasks of a kind, of many that are asked for."""
        cdef Facet *row = &self.facets[facet]
        if kind < <int32_t> row.verdicts.size() and row.verdicts[kind] != UNKNOWN:
            return row.verdicts[kind] == ACCEPTED
        return self.judge(kind, facet)

    cdef inline bint accepts(self, int32_t kind, int32_t facet) except -1:
        """Say whether tasks of a kind suit a worker, of many that are asked for."""
        cdef TaskKind *row = &self.kinds[kind]
        if facet < <int32_t> row.verdicts.size() and row.verdicts[facet] != UNKNOWN:
            return row.verdicts[facet] == ACCEPTED
        return self.judge(kind, facet)

    cdef int close(self) except -1:
        """Release all values and paths; no task waits and no lane is left."""
        cdef Instruction step
        cdef Operand operand
        cdef int32_t worker
        for worker in range(<int32_t> self.facet_of.size()):
            if self.facet_of[worker] != -1:
                self.leave(worker)
        self.sweep_facets()
        self.sweep_kinds()
        for operand in self.operands:
            if operand.path != -1:
                self.profiles.path_references[operand.path] -= 1
        if self.program is not None:
            for step in self.program.code:
                if step.opcode == OP_CONST:
                    self.values.release(step.argument)
        return 0
