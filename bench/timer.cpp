// bench-timer: how long a command takes, from posix_spawn() to its end.
//
//     bench-timer COUNT [NAME=VALUE]… -- COMMAND [ARGUMENT]…
//
// The variables are added to the command's environment, not to its own. The median in microseconds goes to
// standard output.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

int main(int count, char** arguments) {
    std::vector<char*> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
    int at = 2;
    for (; at < count && std::strcmp(arguments[at], "--") != 0; ++at) environment.push_back(arguments[at]);
    environment.push_back(nullptr);
    char** command = arguments + at + 1;
    if (at + 1 >= count) {
        std::fputs("usage: bench-timer COUNT [NAME=VALUE]... -- COMMAND [ARGUMENT]...\n", stderr);
        return 2;
    }
    std::vector<double> times;
    for (long left = std::strtol(arguments[1], nullptr, 10); left > 0; --left) {
        const auto begin = std::chrono::steady_clock::now();
        pid_t pid = 0;
        int status = 0;
        const int error = posix_spawnp(&pid, command[0], nullptr, nullptr, command, environment.data());
        if (error != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            std::fprintf(stderr, "bench-timer: %s: %s\n", command[0],
                         error != 0 ? std::strerror(error) : "did not succeed");
            return 1;
        }
        times.push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    }
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    std::printf("%.2f\n", *middle);
    return 0;
}
