// What every shared library has from the compiler, and this one does without, because each program that is
// started under it would pay.
//
// - crti.o, crtbeginS.o and their kin (-nostartfiles): a constructor and a destructor that have nothing to do
//   here, but write to a page of the library's and have ld.so look for five symbols in vain. Of what is in
//   them, __dso_handle alone is needed: what is registered with pthread_atfork() belongs to it.
// - libstdc++'s handler for std::terminate(), which writes the exception's name: with it comes the demangler,
//   whose tables are a page of relocations. Nothing may be written here, either.
#include <cstdlib>
#include <exception>

extern "C" {
// NOLINTNEXTLINE(bugprone-reserved-identifier): the ABI's name
[[gnu::visibility("hidden")]] extern void* const __dso_handle;
void* const __dso_handle = const_cast<void**>(&__dso_handle);
}

namespace __gnu_cxx {
void __verbose_terminate_handler() { std::abort(); }
} // namespace __gnu_cxx
