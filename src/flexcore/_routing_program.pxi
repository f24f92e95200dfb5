# Predicates over attributes: verified, lowered to instructions, run on rows of ids.

cdef tuple SCALARS = (type(None), bool, int, float, str)

cdef enum Field:
    CONFIGURED_CAPACITY
    ASSIGNED_TASKS
    AVAILABLE_CAPACITY_PERCENTAGE

cdef dict FIELDS = {
    "configured_capacity": CONFIGURED_CAPACITY,
    "assigned_tasks": ASSIGNED_TASKS,
    "available_capacity_percentage": AVAILABLE_CAPACITY_PERCENTAGE,
}

cdef dict OPERATIONS = {
    # name: (opcode, operands)
    "==": (OP_EQUAL, 2),
    "!=": (OP_NOT_EQUAL, 2),
    "unequal": (OP_UNEQUAL, 2),
    "<": (OP_LESS, 2),
    "<=": (OP_LESS_OR_EQUAL, 2),
    ">": (OP_GREATER, 2),
    ">=": (OP_GREATER_OR_EQUAL, 2),
    "contains": (OP_CONTAINS, 2),
    "not_contains": (OP_NOT_CONTAINS, 2),
    "lacks": (OP_LACKS, 2),
    "has": (OP_HAS, 2),
    "in": (OP_IN, 2),
    "not_in": (OP_NOT_IN, 2),
    "not_in_array": (OP_NOT_IN_ARRAY, 2),
    "not_in_known": (OP_NOT_IN_KNOWN, 2),
    "not_in_or_missing": (OP_NOT_IN_OR_MISSING, 2),
    "and": (OP_AND, 2),
    "or": (OP_OR, 2),
    "is_null": (OP_IS_NULL, 1),
    "is_not_null": (OP_IS_NOT_NULL, 1),
    "not": (OP_NOT, 1),
}


cdef int verify(tuple source, bint pair) except -1:
    """Return the stack that is needed; raise ValueError if this is no program.

    Only a program over pairs may read tasks and live values.
    """
    cdef int depth = 0
    cdef int deepest = 0
    for position, step in enumerate(source):
        if not isinstance(step, tuple) or not step:
            raise ValueError(f"instruction {position} is no tuple: {step!r}")
        operation = OPERATIONS.get(step[0]) if isinstance(step[0], str) else None
        if operation is not None and len(step) == 1:
            if depth < operation[1]:
                raise ValueError(f"instruction {position} lacks operands: {step!r}")
            depth -= operation[1]
        elif not is_operand(step, pair):
            raise ValueError(f"instruction {position} is not known: {step!r}")
        depth += 1
        deepest = max(deepest, depth)
    if source and depth != 1:
        raise ValueError(f"the program leaves {depth} values instead of one")
    return deepest


cdef bint is_operand(tuple step, bint pair):
    if step[0] == "const" and len(step) == 2:
        items = step[1] if isinstance(step[1], tuple) else (step[1],)
        return all([isinstance(item, SCALARS) for item in items])
    if step[0] == "path" and len(step) == 3:
        return (
            (step[1] == "worker" or (pair and step[1] == "task"))
            and isinstance(step[2], tuple)
            and all([type(segment) in (str, int) for segment in step[2]])
        )
    return pair and is_live(step)


cdef bint is_live(tuple step):
    return (
        step[0] == "live"
        and len(step) == 3
        and type(step[1]) is int
        and 0 <= step[1] < 2**63
        and isinstance(step[2], str)
        and step[2] in FIELDS
    )


cdef bint is_of_worker(tuple step):
    """Say whether the operand can be compared between workers."""
    if not step or not is_operand(step, True):
        return False
    return step[0] == "live" or (step[0] == "path" and step[1] == "worker")


cdef object resolve(dict attributes, tuple segments):
    """Look a path up; None if it leads nowhere."""
    node = attributes
    for segment in segments:
        if isinstance(segment, str):
            if not isinstance(node, dict):
                return None
            node = (<dict> node).get(segment)
        elif isinstance(node, (list, tuple)) and 0 <= segment < len(node):
            node = node[segment]
        else:
            return None
    return node


@cython.final
cdef class Program:

    cdef int split(self) except -1:
        """Find the parts that all have to hold, so that the first that fails decides."""
        cdef int32_t depth
        cdef int32_t end = <int32_t> self.code.size()
        # From the back: an `and` is followed by its right side, then by its left one.
        cdef int32_t open = 1
        while end and open:
            if self.code[end - 1].opcode == OP_AND:
                open += 1
                end -= 1
                continue
            self.ends.push_back(end)
            depth = 1
            while depth:
                end -= 1
                depth += operands_of(self.code[end].opcode) - 1
            open -= 1
            self.starts.push_back(end)
        return 0

    cdef bint holds(
        self,
        Values values,
        const int32_t *worker,
        const int32_t *task,
        int32_t *stack,
    ) noexcept:
        cdef Py_ssize_t part
        for part in range(<Py_ssize_t> self.ends.size()):
            if not self.part_holds(
                self.starts[part], self.ends[part], values, worker, task, stack
            ):
                return False
        return True

    cdef bint may_hold(
        self, Values values, const int32_t *worker, int32_t *stack
    ) noexcept:
        """Say whether all parts hold that do not read a task."""
        cdef Py_ssize_t part
        for part in range(<Py_ssize_t> self.ends.size()):
            if not self.reads_task(
                self.starts[part], self.ends[part]
            ) and not self.part_holds(
                self.starts[part], self.ends[part], values, worker, NULL, stack
            ):
                return False
        return True

    cdef bint reads_task(self, int32_t start, int32_t stop) noexcept:
        cdef int32_t place
        for place in range(start, stop):
            if self.code[place].opcode == OP_TASK:
                return True
        return False

    cdef bint part_holds(
        self,
        int32_t start,
        int32_t stop,
        Values values,
        const int32_t *worker,
        const int32_t *task,
        int32_t *stack,
    ) noexcept:
        cdef const Instruction *step = self.code.data() + start
        cdef const Instruction *end = self.code.data() + stop
        cdef Py_ssize_t top = -1
        cdef int32_t result
        while step < end:
            if step.opcode <= OP_TASK:
                top += 1
                if step.opcode == OP_CONST:
                    result = step.argument
                elif step.opcode == OP_WORKER:
                    result = worker[step.argument]
                else:
                    result = task[step.argument]
            elif step.opcode >= OP_IS_NULL:
                result = TRUE_ID if unary(step.opcode, stack[top]) else FALSE_ID
            else:
                top -= 1
                result = (
                    TRUE_ID
                    if binary(values, step.opcode, stack[top], stack[top + 1])
                    else FALSE_ID
                )
            stack[top] = result
            step += 1
        return top == 0 and stack[0] == TRUE_ID


cdef int operands_of(Opcode opcode) noexcept:
    if opcode <= OP_TASK:
        return 0
    return 1 if opcode >= OP_IS_NULL else 2


cdef bint unary(Opcode opcode, int32_t operand) noexcept:
    if opcode == OP_IS_NULL:
        return operand == NULL_ID
    if opcode == OP_IS_NOT_NULL:
        return operand != NULL_ID
    return operand != TRUE_ID


cdef bint binary(Values values, Opcode opcode, int32_t one, int32_t other) noexcept:
    if opcode == OP_AND:
        return one == TRUE_ID and other == TRUE_ID
    if opcode == OP_OR:
        return one == TRUE_ID or other == TRUE_ID
    if opcode == OP_HAS:
        return values.has(one, other)
    if opcode == OP_EQUAL:
        return values.equal(one, other)
    if opcode == OP_NOT_EQUAL:
        return not values.equal(one, other)
    if opcode == OP_UNEQUAL:
        return (
            values.scalar(one) and values.scalar(other) and not values.equal(one, other)
        )
    if opcode == OP_CONTAINS:
        return values.contains(one, other)
    if opcode == OP_NOT_CONTAINS:
        return not values.contains(one, other)
    if opcode == OP_LACKS:
        return (
            values.scalar(one)
            and values.scalar(other)
            and not values.contains(one, other)
        )
    if opcode >= OP_IN:
        return is_in(values, opcode, one, other)
    return ordered(opcode, values.compare(one, other))


cdef bint is_in(Values values, Opcode opcode, int32_t one, int32_t other) noexcept:
    cdef bint there = values.has(other, one)
    if opcode == OP_IN or opcode == OP_NOT_IN:
        return there == (opcode == OP_IN)
    if there:
        return False
    if opcode == OP_NOT_IN_KNOWN:
        return other != NULL_ID
    if opcode == OP_NOT_IN_OR_MISSING and other == NULL_ID:
        return True
    return values.rows[other].kind == KIND_ARRAY


cdef bint ordered(Opcode opcode, int order) noexcept:
    if order == INCOMPARABLE:
        return False
    if opcode == OP_LESS:
        return order < 0
    if opcode == OP_LESS_OR_EQUAL:
        return order <= 0
    if opcode == OP_GREATER:
        return order > 0
    return order >= 0
