# Profiles: workers whose values are equal in everything the programs read.

@cython.final
cdef class Profile:

    cdef bint belongs(self, int32_t queue) noexcept:
        cdef Py_ssize_t word = queue >> 6
        if word >= <Py_ssize_t> self.bits.size():
            return False
        return (self.bits[word] >> (queue & 63)) & 1

    cdef int assign(self, int32_t queue, bint belongs) except -1:
        cdef Py_ssize_t word = queue >> 6
        cdef Py_ssize_t position = 0
        if belongs == self.belongs(queue):
            return 0
        while (
            position < <Py_ssize_t> self.queues.size() and self.queues[position] < queue
        ):
            position += 1
        if word >= <Py_ssize_t> self.bits.size():
            self.bits.resize(word + 1)
        self.bits[word] ^= <uint64_t> 1 << (queue & 63)
        if belongs:
            self.queues.insert(self.queues.begin() + position, queue)
        else:
            self.queues.erase(self.queues.begin() + position)
        return 0


@cython.final
cdef class Profiles:

    def __cinit__(self):
        self.values = Values()
        self.programs = []
        self.paths = []
        self.path_ids = {}
        self.rows = []

    cdef Program compile(self, tuple source):
        """Lower a program; its paths and constants are kept until uninstall."""
        cdef Program program = Program()
        cdef Py_ssize_t depth = verify(source)
        if depth > <Py_ssize_t> self.stack.size():
            self.stack.resize(depth)
        program.source = source
        for step in source:
            if step[0] == "const":
                program.code.push_back(
                    Instruction(OP_CONST, self.values.intern(step[1]))
                )
            elif step[0] == "path":
                program.code.push_back(Instruction(OP_PATH, self.keep_path(step[2])))
            else:
                program.code.push_back(Instruction(OPERATIONS[step[0]][0], 0))
        return program

    cdef int32_t keep_path(self, tuple segments) except -1:
        cdef int32_t path
        found = self.path_ids.get(segments)
        if found is None:
            if None in self.paths:
                path = self.paths.index(None)
            else:
                path = len(self.paths)
                self.paths.append(None)
                self.path_references.push_back(0)
                self.readers.resize(path + 1)
            self.paths[path] = segments
            self.path_ids[segments] = path
        else:
            path = found
        self.path_references[path] += 1
        return path

    cdef list fresh_paths(self, Program program):
        """List the paths that no installed program read so far."""
        cdef Instruction step
        fresh = set()
        for step in program.code:
            if step.opcode == OP_PATH and self.readers[step.argument].empty():
                fresh.add(step.argument)
        return sorted(fresh)

    cdef list drop_unused_paths(self):
        """Forget paths that no program reads; return them."""
        cdef int32_t path
        unused = []
        for path in range(<int32_t> self.path_references.size()):
            if self.path_references[path] == 0 and self.paths[path] is not None:
                del self.path_ids[self.paths[path]]
                self.paths[path] = None
                unused.append(path)
        return unused

    cdef int install(self, int32_t queue, Program program) except -1:
        """Make the program the queue's, for every profile there is."""
        cdef Instruction step
        cdef vector[int32_t] *readers
        if queue == len(self.programs):
            self.programs.append(None)
        self.programs[queue] = program
        for step in program.code:
            if step.opcode == OP_PATH:
                readers = &self.readers[step.argument]
                if readers.empty() or readers.back() != queue:
                    readers.push_back(queue)
        for profile in self.rows:
            if profile is not None:
                (<Profile> profile).assign(queue, self.evaluate(queue, profile))
        return 0

    cdef int uninstall(self, int32_t queue) except -1:
        """Take the program from the queue; nobody belongs to it then."""
        cdef Instruction step
        cdef vector[int32_t] *readers
        cdef Py_ssize_t position
        for step in (<Program> self.programs[queue]).code:
            if step.opcode == OP_CONST:
                self.values.release(step.argument)
            elif step.opcode == OP_PATH:
                self.path_references[step.argument] -= 1
                readers = &self.readers[step.argument]
                for position in range(<Py_ssize_t> readers.size()):
                    if dereference(readers)[position] == queue:
                        readers.erase(readers.begin() + position)
                        break
        self.programs[queue] = None
        for profile in self.rows:
            if profile is not None:
                (<Profile> profile).assign(queue, False)
        return 0

    cdef bint evaluate(self, int32_t queue, Profile profile):
        cdef Program program = self.programs[queue]
        if program is None or program.code.empty():
            return False
        return program.holds(self.values, profile.row.data(), self.stack.data())

    cdef int32_t enlist(self, dict attributes) except -1:
        """Return the profile of a new worker."""
        cdef vector[int32_t] row
        cdef int32_t path
        row.resize(len(self.paths))
        for path in range(<int32_t> row.size()):
            row[path] = self.read(path, attributes)
        return self.join(row, None)

    cdef int32_t move(
        self, int32_t profile, dict attributes, int32_t changed
    ) except -1:
        """Return the profile of a worker of that profile after a change.

        Only what reads the path `changed` can differ; -1 stands for any. The worker
        counts in both profiles until it leaves the old one.
        """
        cdef Profile origin = self.rows[profile]
        cdef vector[int32_t] row = origin.row
        cdef int32_t path
        row.resize(len(self.paths))
        for path in range(<int32_t> row.size()):
            if changed == -1 or path == changed:
                row[path] = self.read(path, attributes)
            elif row[path] >= FIRST_ID:
                self.values.rows[row[path]].references += 1
        return self.join(row, origin)

    cdef int32_t read(self, int32_t path, dict attributes) except -1:
        if self.paths[path] is None:
            return NULL_ID
        return self.values.intern(resolve(attributes, self.paths[path]))

    cdef int32_t join(self, vector[int32_t] &row, Profile origin) except -1:
        """Return the profile of the row, which brings its own references."""
        cdef int32_t number, value
        cdef Profile profile
        found = self.by_row.find(row)
        if found != self.by_row.end():
            for value in row:
                self.values.release(value)
            number = dereference(found).second
            (<Profile> self.rows[number]).workers += 1
            return number
        profile = Profile()
        profile.row = row
        profile.workers = 1
        self.remember(profile, origin)
        profile.queues.shrink_to_fit()
        number = self.number(profile)
        self.by_row[row] = number
        return number

    cdef int32_t number(self, Profile profile) except -1:
        cdef int32_t number
        if self.vacant.empty():
            number = len(self.rows)
            self.rows.append(profile)
        else:
            number = self.vacant.back()
            self.vacant.pop_back()
            self.rows[number] = profile
        return number

    cdef int remember(self, Profile profile, Profile origin) except -1:
        """Evaluate what reads a value that the origin has not."""
        cdef int32_t queue
        cdef Py_ssize_t path
        if origin is None:
            for queue in range(<int32_t> len(self.programs)):
                profile.assign(queue, self.evaluate(queue, profile))
            return 0
        profile.queues = origin.queues
        profile.bits = origin.bits
        touched = set()
        for path in range(<Py_ssize_t> profile.row.size()):
            if (
                path >= <Py_ssize_t> origin.row.size()
                or origin.row[path] != profile.row[path]
            ):
                touched.update(self.readers[path])
        for queue in touched:
            profile.assign(queue, self.evaluate(queue, profile))
        return 0

    cdef int leave(self, int32_t number) except -1:
        """Count one worker less; the profile goes with the last one."""
        cdef Profile profile = self.rows[number]
        cdef int32_t value
        profile.workers -= 1
        if profile.workers:
            return 0
        self.by_row.erase(profile.row)
        for value in profile.row:
            self.values.release(value)
        self.rows[number] = None
        self.vacant.push_back(number)
        return 0
