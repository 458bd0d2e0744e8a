#include "sys/fd_marks.hpp"

#include "sys/sparse.hpp"

namespace socksify::sys {

SOCKSIFY_SPARSE(1) constinit FdMarks fd_marks;

} // namespace socksify::sys
