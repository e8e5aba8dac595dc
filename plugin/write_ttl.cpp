// Has the LV2 plugin write its own Turtle files into the working folder: write_ttl ./sidechop.so
#include <cstdio>
#include <dlfcn.h>

int main(int count, char** arguments) {
    void* library = count == 2 ? dlopen(arguments[1], RTLD_NOW) : nullptr;
    if (!library) {
        std::fprintf(stderr, "write_ttl: %s\n", count == 2 ? dlerror() : "which plugin?");
        return 1;
    }
    using Writer = void (*)(const char* name);
    const auto write = reinterpret_cast<Writer>(dlsym(library, "lv2_generate_ttl"));
    if (!write)
        return 1;
    write("sidechop");
    return 0;
}
