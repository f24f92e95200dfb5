// The routing rule of flexcore as one writes it in C++ for one workload.
//
//     router TRACE [SEQUENCE] [<ROUNDS]
//
// Reads the whole trace (benchmarks/traces.py says what is in it), lets its tasks arrive,
// says that it is ready, and plays one round of steps per line of standard input, or all
// that are left when it ends. Prints the seconds of each round; in the end it writes the
// offers, (task, worker) pairs in order of decision, to SEQUENCE.
//
// It does less than flexcore: the queues of a worker are given and never change, nothing
// is cancelled or moved, there are no handles to check, no counts and no expressions.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

using Numbers = std::vector<int64_t>;

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "router: %s\n", what);
    std::exit(1);
}

// What this process had of a processor: others may use the machine.
double processor_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Task {
    int64_t start;
    int32_t priority;
    int32_t sequence;
};

struct Later {
    bool operator()(const Task &one, const Task &other) const {
        if (one.priority != other.priority) return one.priority < other.priority;
        if (one.start != other.start) return one.start > other.start;
        return one.sequence > other.sequence;
    }
};

// A worker in the idle list of a group, with the clock as it was when placed there.
struct Idle {
    int64_t last_offered;
    int32_t worker;
};

struct LessIdle {
    bool operator()(const Idle &one, const Idle &other) const {
        if (one.last_offered != other.last_offered)
            return one.last_offered > other.last_offered;
        return one.worker > other.worker;
    }
};

// A queue on a channel. Both are heaps with the best in front; `idle` is put right late:
// an entry may be of a worker who has no room now or was offered something since.
struct Group {
    std::vector<Task> waiting;
    std::vector<Idle> idle;
    std::vector<bool> listed;  // by worker: has an entry in idle
};

struct Worker {
    int64_t last_offered = 0;
    std::vector<int32_t> room;    // by channel
    std::vector<int32_t> queues;
};

struct Offer {
    int64_t task;
    int64_t worker;
};

class Router {
  public:
    Router(int64_t queues, int64_t channels, int64_t workers)
        : channels_(channels), groups_(queues * channels) {
        for (Group &group : groups_) group.listed.resize(workers);
        workers_.reserve(workers);
    }

    void add_worker(std::vector<int32_t> room, std::vector<int32_t> queues) {
        int32_t worker = static_cast<int32_t>(workers_.size());
        workers_.push_back({0, std::move(room), std::move(queues)});
        for (int32_t channel = 0; channel < channels_; ++channel)
            if (workers_[worker].room[channel] > 0) line_up(worker, channel);
    }

    // No task waits while a worker who can take it is free. So the one that arrives goes
    // to the best idle worker, if any; and who completes something takes the first task
    // of all their queues.
    void arrive(int32_t queue, int32_t channel, Task task, int64_t now) {
        Group &group = group_of(queue, channel);
        int32_t worker = best_idle(group, channel);
        if (worker >= 0) {
            offer(task, worker, channel, now);
        } else {
            group.waiting.push_back(task);
            std::push_heap(group.waiting.begin(), group.waiting.end(), Later());
        }
    }

    void complete(int32_t worker, int32_t channel, int64_t now) {
        if (++workers_[worker].room[channel] > 1) return;
        Group *first = nullptr;
        for (int32_t queue : workers_[worker].queues) {
            Group &group = group_of(queue, channel);
            if (group.waiting.empty()) continue;
            if (!first || Later()(first->waiting.front(), group.waiting.front()))
                first = &group;
        }
        if (!first) return line_up(worker, channel);
        std::pop_heap(first->waiting.begin(), first->waiting.end(), Later());
        Task task = first->waiting.back();
        first->waiting.pop_back();
        offer(task, worker, channel, now);
    }

    const std::vector<Offer> &offers() const { return offers_; }

  private:
    Group &group_of(int32_t queue, int32_t channel) {
        return groups_[queue * channels_ + channel];
    }

    void line_up(int32_t worker, int32_t channel) {
        for (int32_t queue : workers_[worker].queues) {
            Group &group = group_of(queue, channel);
            if (group.listed[worker]) continue;
            group.listed[worker] = true;
            group.idle.push_back({workers_[worker].last_offered, worker});
            std::push_heap(group.idle.begin(), group.idle.end(), LessIdle());
        }
    }

    int32_t best_idle(Group &group, int32_t channel) {
        while (!group.idle.empty()) {
            Idle front = group.idle.front();
            const Worker &worker = workers_[front.worker];
            bool free = worker.room[channel] > 0;
            if (free && worker.last_offered == front.last_offered) return front.worker;
            if (free) {
                sink(group.idle, {worker.last_offered, front.worker});
            } else {
                std::pop_heap(group.idle.begin(), group.idle.end(), LessIdle());
                group.idle.pop_back();
                group.listed[front.worker] = false;
            }
        }
        return -1;
    }

    // Put an entry in the place of the front one: half the work of pop_heap, push_heap.
    static void sink(std::vector<Idle> &heap, Idle entry) {
        LessIdle later;
        size_t place = 0;
        while (2 * place + 1 < heap.size()) {
            size_t child = 2 * place + 1;
            if (child + 1 < heap.size() && later(heap[child], heap[child + 1])) ++child;
            if (!later(entry, heap[child])) break;
            heap[place] = heap[child];
            place = child;
        }
        heap[place] = entry;
    }

    void offer(const Task &task, int32_t worker, int32_t channel, int64_t now) {
        workers_[worker].last_offered = now;
        --workers_[worker].room[channel];
        offers_.push_back({task.sequence, worker});
    }

    int32_t channels_;
    std::vector<Group> groups_;
    std::vector<Worker> workers_;
    std::vector<Offer> offers_;
};

struct Arrival {
    int32_t queue, channel;
    Task task;
};

struct Step {
    int32_t worker, channel;
    Arrival arrival;
};

// What is left of the trace.
class Reader {
  public:
    explicit Reader(const char *path) {
        std::ifstream file(path, std::ios::binary | std::ios::ate);
        if (!file) fail("cannot read the trace");
        numbers_.resize(file.tellg() / sizeof(int64_t));
        file.seekg(0);
        file.read(reinterpret_cast<char *>(numbers_.data()),
                  numbers_.size() * sizeof(int64_t));
    }

    int64_t next() {
        if (place_ == numbers_.size()) fail("the trace ends early");
        return numbers_[place_++];
    }

    std::vector<int32_t> list(int64_t length) {
        std::vector<int32_t> list(length);
        for (int32_t &number : list) number = static_cast<int32_t>(next());
        return list;
    }

    Arrival arrival(int32_t sequence) {
        int32_t queue = static_cast<int32_t>(next());
        int32_t channel = static_cast<int32_t>(next());
        int32_t priority = static_cast<int32_t>(next());
        return {queue, channel, {next(), priority, sequence}};
    }

    Step step(int32_t sequence) {
        int32_t worker = static_cast<int32_t>(next());
        int32_t channel = static_cast<int32_t>(next());
        return {worker, channel, arrival(sequence)};
    }

  private:
    Numbers numbers_;
    size_t place_ = 0;
};

void write(const char *path, const std::vector<Offer> &offers) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(offers.data()),
               offers.size() * sizeof(Offer));
    if (!file.flush()) fail("cannot write the sequence");
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) fail("which trace?");
    Reader reader(argv[1]);
    int64_t queues = reader.next(), channels = reader.next(), workers = reader.next();
    int64_t tasks = reader.next(), rounds = reader.next(), length = reader.next();

    Router router(queues, channels, workers);
    while (workers--) {
        std::vector<int32_t> room = reader.list(channels);
        router.add_worker(room, reader.list(reader.next()));
    }
    int32_t sequence = 0;
    int64_t now = 0;
    while (tasks--) {
        Arrival arrival = reader.arrival(sequence++);
        router.arrive(arrival.queue, arrival.channel, arrival.task, ++now);
    }
    std::vector<Step> steps;
    for (int64_t step = 0; step < rounds * length; ++step)
        steps.push_back(reader.step(sequence++));

    std::puts("ready");
    std::fflush(stdout);
    std::string line;
    for (int64_t round = 0; round < rounds; ++round) {
        std::getline(std::cin, line);
        double begin = processor_seconds();
        for (int64_t place = round * length; place < (round + 1) * length; ++place) {
            const Step &step = steps[place];
            const Arrival &arrival = step.arrival;
            router.complete(step.worker, step.channel, ++now);
            router.arrive(arrival.queue, arrival.channel, arrival.task, ++now);
        }
        std::printf("%.9f\n", processor_seconds() - begin);
        std::fflush(stdout);
    }
    if (argc > 2) write(argv[2], router.offers());
}
