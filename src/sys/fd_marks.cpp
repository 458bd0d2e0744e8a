#include "sys/fd_marks.hpp"

namespace socksify::sys {

constinit FdMarks fd_marks;

} // namespace socksify::sys
