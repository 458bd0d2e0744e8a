// A program that no library can be preloaded into: it is linked statically.
#include <cstdio>

int main() {
    std::puts("it runs");
    return 0;
}
