# Slots, which every handle comes from, and Numbers, the caller's names for slots.

cdef int32_t LAST_GENERATION = INT32_MAX - 1
cdef enum:
    NEAR_MAX = 65_536       # numbers below it are found without hashing


class StaleHandle(KeyError):
    """The handle was never given out, or what it stood for is gone."""

    def __str__(self):
        return str(self.args[0])


cdef inline size_t with_spare(size_t size, size_t capacity) noexcept:
    """Return the capacity for one more: a sixteenth is spare; doubling would leave
    up to half of what many thousand workers take unused.
    """
    return capacity if size < capacity else size + size // 16 + 8


@cython.final
cdef class Slots:

    cdef int32_t acquire(self) except -1:
        cdef int32_t slot
        if self.vacant.empty():
            slot = <int32_t> self.generations.size()
            self.generations.reserve(
                with_spare(self.generations.size(), self.generations.capacity())
            )
            self.generations.push_back(0)
            # Room for every slot, so that release cannot run out of memory.
            self.vacant.reserve(self.generations.capacity())
        else:
            slot = self.vacant.back()
            self.vacant.pop_back()
        self.generations[slot] += 1
        return slot

    cdef int release(self, int32_t slot) except -1:
        return self.release_known(slot, self.generations[slot])

    cdef inline int release_known(self, int32_t slot, int32_t generation) except -1:
        """The same where the generation is at hand, and the slot far from the cache."""
        self.generations[slot] = generation + 1
        # A slot that ran out of generations is given up: its handles stay stale.
        if generation + 1 < LAST_GENERATION:
            self.vacant.push_back(slot)
        return 0

    cdef int retire(self, int32_t slot) except -1:
        """Make the handle stale; the slot is not yet handed out again."""
        self.generations[slot] += 1
        return 0

    cdef int recycle(self, int32_t slot) except -1:
        if self.generations[slot] < LAST_GENERATION:
            self.vacant.push_back(slot)
        return 0

    cdef int64_t handle(self, int32_t slot) noexcept:
        return (<int64_t> self.generations[slot] << 32) | slot

    cdef bint used(self, int32_t slot) noexcept:
        return self.generations[slot] & 1

    cdef bint live(self, int64_t handle) noexcept:
        cdef int64_t slot = handle & 0xFFFFFFFF
        cdef int64_t generation = handle >> 32
        if handle < 0 or slot >= <int64_t> self.generations.size():
            return False
        return generation & 1 and self.generations[slot] == generation

    cdef int32_t find(self, int64_t handle) except -1:
        if not self.live(handle):
            raise StaleHandle(f"handle {handle} is stale")
        return <int32_t> (handle & 0xFFFFFFFF)

    cdef Py_ssize_t count(self) noexcept:
        cdef Py_ssize_t slot, used = 0
        for slot in range(<Py_ssize_t> self.generations.size()):
            used += self.generations[slot] & 1
        return used


@cython.final
cdef class Numbers:

    cdef int32_t find(self, int64_t number) noexcept:
        if 0 <= number < <int64_t> self.near.size():
            return self.near[number]
        if 0 <= number < NEAR_MAX or self.far.empty():
            return -1
        found = self.far.find(number)
        return -1 if found == self.far.end() else dereference(found).second

    cdef int put(self, int64_t number, int32_t slot) except -1:
        """Remember a number that is not negative."""
        if number >= NEAR_MAX:
            self.far[number] = slot
            return 0
        if number >= <int64_t> self.near.size():
            self.near.resize(number + 1, -1)
        self.near[number] = slot
        return 0

    cdef int drop(self, int64_t number) except -1:
        if number >= NEAR_MAX:
            self.far.erase(number)
        else:
            self.near[number] = -1
        return 0
