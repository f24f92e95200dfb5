# Profiles: workers whose values are equal in everything the programs read.

cdef inline bint is_in_queue(Profile *profile, int32_t queue) noexcept:
    cdef const int32_t *queues = profile.queues.data()
    return binary_search(queues, queues + profile.queues.size(), queue)


cdef inline const int32_t *values_of(const Profile *profile) noexcept:
    """Return the values of a profile by path; there are path_count of them."""
    return <const int32_t *> profile.row.data()


cdef inline Py_ssize_t path_count(const Profile *profile) noexcept:
    return profile.row.size() // sizeof(int32_t)


cdef int assign(Profile *profile, int32_t queue, bint belongs) except -1:
    """Put a queue among those of the profile, or take it out."""
    cdef Py_ssize_t position = 0
    if belongs == is_in_queue(profile, queue):
        return 0
    while (
        position < <Py_ssize_t> profile.queues.size()
        and profile.queues[position] < queue
    ):
        position += 1
    if belongs:
        profile.queues.insert(profile.queues.begin() + position, queue)
    else:
        profile.queues.erase(profile.queues.begin() + position)
    return 0


@cython.final
cdef class Profiles:

    def __cinit__(self, Values values not None):
        self.values = values
        self.programs = []
        self.paths = []
        self.path_ids = {}
        self.stack.resize(1)

    def __dealloc__(self):
        cdef Profile *profile
        for profile in self.rows:
            del profile

    cdef int reserve_stack(self, Py_ssize_t depth) except -1:
        if depth > <Py_ssize_t> self.stack.size():
            self.stack.resize(depth)
        return 0

    cdef Program compile(self, tuple source):
        """Lower a program; its paths and constants are kept until uninstall."""
        cdef Program program = Program()
        self.reserve_stack(verify(source, False))
        program.source = source
        for step in source:
            if step[0] == "const":
                program.code.push_back(
                    Instruction(OP_CONST, self.values.intern(step[1]))
                )
            elif step[0] == "path":
                program.code.push_back(Instruction(OP_WORKER, self.keep_path(step[2])))
            else:
                program.code.push_back(Instruction(OPERATIONS[step[0]][0], 0))
        program.split()
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
                self.path_read.push_back(False)
                self.readers.resize(path + 1)
            self.paths[path] = segments
            self.path_ids[segments] = path
        else:
            path = found
        self.path_references[path] += 1
        return path

    cdef list unread_paths(self):
        """List the paths that are kept and whose values the rows have not."""
        return [
            path
            for path, segments in enumerate(self.paths)
            if segments is not None and not self.path_read[<int32_t> path]
        ]

    cdef list drop_unused_paths(self):
        """Forget paths that nobody keeps; return them."""
        cdef int32_t path
        unused = []
        for path in range(<int32_t> self.path_references.size()):
            if self.path_references[path] == 0 and self.paths[path] is not None:
                del self.path_ids[self.paths[path]]
                self.paths[path] = None
                self.path_read[path] = False
                unused.append(path)
        return unused

    cdef int install(self, int32_t queue, Program program) except -1:
        """Make the program the queue's, for every profile there is."""
        cdef Instruction step
        cdef vector[int32_t] *readers
        cdef Profile *profile
        if queue == len(self.programs):
            self.programs.append(None)
        self.programs[queue] = program
        for step in program.code:
            if step.opcode == OP_WORKER:
                readers = &self.readers[step.argument]
                if readers.empty() or readers.back() != queue:
                    readers.push_back(queue)
        for profile in self.rows:
            if profile != NULL:
                assign(profile, queue, self.evaluate(queue, profile))
        return 0

    cdef int uninstall(self, int32_t queue) except -1:
        """Take the program from the queue; nobody belongs to it then."""
        cdef Instruction step
        cdef Profile *profile
        for step in (<Program> self.programs[queue]).code:
            if step.opcode == OP_CONST:
                self.values.release(step.argument)
            elif step.opcode == OP_WORKER:
                self.path_references[step.argument] -= 1
                erase_from(self.readers[step.argument], queue)
        self.programs[queue] = None
        for profile in self.rows:
            if profile != NULL:
                assign(profile, queue, False)
        return 0

    cdef bint evaluate(self, int32_t queue, Profile *profile):
        cdef Program program = self.programs[queue]
        if program is None or program.code.empty():
            return False
        return program.holds(
            self.values, values_of(profile), NULL, self.stack.data()
        )

    cdef int32_t enlist(self, dict attributes) except -1:
        """Return the profile of a new worker."""
        cdef vector[int32_t] row
        cdef int32_t path
        row.resize(len(self.paths))
        for path in range(<int32_t> row.size()):
            row[path] = self.read(path, attributes)
        return self.join(row, NULL)

    cdef int32_t move(
        self, int32_t profile, dict attributes, int32_t changed
    ) except -1:
        """Return the profile of a worker of that profile after a change.

        Only what reads the path `changed` can differ; -1 stands for any. The worker
        counts in both profiles until it leaves the old one.
        """
        cdef Profile *origin = self.rows[profile]
        cdef vector[int32_t] row
        cdef int32_t path
        row.assign(values_of(origin), values_of(origin) + path_count(origin))
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

    cdef int32_t join(self, vector[int32_t] &row, Profile *origin) except -1:
        """Return the profile of the row, which brings its own references."""
        cdef int32_t number
        cdef Profile *profile
        cdef string key = string(<char *> row.data(), row.size() * sizeof(int32_t))
        found = self.by_row.find(key)
        if found != self.by_row.end():
            self.values.release_all(row)
            number = dereference(found).second
            self.rows[number].workers += 1
            return number
        profile = new Profile()
        number = self.number(profile)
        self.by_row[key] = number
        profile.row = &dereference(self.by_row.find(key)).first
        profile.workers = 1
        self.remember(profile, origin)
        profile.queues.shrink_to_fit()
        return number

    cdef int32_t number(self, Profile *profile) except -1:
        cdef int32_t number
        if self.vacant.empty():
            number = <int32_t> self.rows.size()
            self.rows.reserve(with_spare(self.rows.size(), self.rows.capacity()))
            self.rows.push_back(profile)
        else:
            number = self.vacant.back()
            self.vacant.pop_back()
            self.rows[number] = profile
        return number

    cdef int remember(self, Profile *profile, Profile *origin) except -1:
        """Evaluate what reads a value that the origin has not."""
        cdef int32_t queue
        cdef Py_ssize_t path
        if origin == NULL:
            for queue in range(<int32_t> len(self.programs)):
                assign(profile, queue, self.evaluate(queue, profile))
            return 0
        profile.queues = origin.queues
        touched = set()
        for path in range(path_count(profile)):
            if (
                path >= path_count(origin)
                or values_of(origin)[path] != values_of(profile)[path]
            ):
                touched.update(self.readers[path])
        for queue in touched:
            assign(profile, queue, self.evaluate(queue, profile))
        return 0

    cdef int leave(self, int32_t number) except -1:
        """Count one worker less; the profile goes with the last one."""
        cdef Profile *profile = self.rows[number]
        cdef vector[int32_t] row
        profile.workers -= 1
        if profile.workers:
            return 0
        row.assign(values_of(profile), values_of(profile) + path_count(profile))
        self.by_row.erase(self.by_row.find(dereference(profile.row)))
        self.values.release_all(row)
        del profile
        self.rows[number] = NULL
        self.vacant.push_back(number)
        return 0


cdef int erase_from(vector[int32_t] &numbers, int32_t number) except -1:
    """Take a number out, if it is there."""
    cdef Py_ssize_t position
    for position in range(<Py_ssize_t> numbers.size()):
        if numbers[position] == number:
            numbers.erase(numbers.begin() + position)
            return 0
    return 0
