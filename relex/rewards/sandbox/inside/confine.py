"""Shuts a process that is about to run foreign code in, for good.

It is the first process of namespaces of its own, so that it sees no other process and all that it
starts ends with it; it has an empty folder, limits that the kernel keeps, no capability, and a list
of the system calls that Python needs. There is none among them that makes a process, a socket or a
mapping of another process, or runs a program.
"""

import ctypes
import errno
import os
import random
import resource
import signal
import sys
from collections.abc import Mapping
from functools import cache

FOLDER = "/tmp"
CLONE_NEWNS, CLONE_NEWPID, CLONE_THREAD = 0x20000, 0x20000000, 0x10000
MS_NOSUID_NODEV, MS_RDONLY = 2 | 4, 1
CAPABILITY_VERSION = 0x20080522
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
SECCOMP_MODE_FILTER = 2
ACT_ALLOW, ACT_ERRNO = 0x7FFF0000, 0x00050000
INSTRUCTION_BYTES = 8
COMPARE_LESS, COMPARE_EQUAL, COMPARE_MASKED_EQUAL = 2, 4, 7
FIONCLEX, FIOCLEX = 0x5450, 0x5451
F_LINUX, F_DUPFD_CLOEXEC = 1024, 1030
NUM_FILES, NUM_THREADS = 64, 64
SYSTEM_CALLS = """
    read write readv writev pread64 pwrite64 lseek close dup dup2 dup3 fsync ftruncate
    open openat creat stat fstat lstat newfstatat statx access faccessat faccessat2 readlink
    readlinkat getdents64 getcwd chdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    fadvise64 umask pipe pipe2 poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait
    epoll_pwait eventfd2 mmap munmap mremap mprotect madvise brk futex set_robust_list rseq
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack kill tgkill setitimer
    getitimer alarm pause sched_yield sched_getaffinity exit exit_group restart_syscall
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage getrlimit
    prlimit64 getrandom uname sysinfo getpid getppid gettid getuid geteuid getgid getegid
"""

# PyDLL: the clone must return with Python's lock held, as a fork does.
_libc = ctypes.PyDLL(None, use_errno=True)
# Made before the fork, whose cost is the pages that a child writes to.
_OWN_PROCESS = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


class Filter(ctypes.Structure):
    """System calls that are allowed, as the kernel wants them."""

    _fields_ = (("num_instructions", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def fork_alone() -> int:
    """As `os.fork`, but the child is the first process of a namespace of processes, and what it
    mounts is its own. Only for a process with one thread. Raises OSError."""
    call = _seccomp().seccomp_syscall_resolve_name(b"clone")
    flags = CLONE_NEWNS | CLONE_NEWPID | signal.SIGCHLD
    return _checked(_libc.syscall(call, flags, 0, 0, 0, 0), "clone")


def allowed_calls() -> Filter:
    """The list of system calls, compiled for the kernel (BPF). All others fail with EPERM."""
    library = _seccomp()
    context = ctypes.c_void_p(library.seccomp_init(ACT_ERRNO | errno.EPERM))

    def rule(name: str, action: int, *comparisons: _Comparison) -> None:
        call = library.seccomp_syscall_resolve_name(name.encode())
        array = (_Comparison * len(comparisons))(*comparisons)
        # Below zero: a call that this processor's Linux does not have.
        if call >= 0:
            number = len(comparisons)
            _checked(library.seccomp_rule_add_array(context, action, call, number, array), name)

    for name in SYSTEM_CALLS.split():
        rule(name, ACT_ALLOW)
    # Threads, and no processes. glibc falls back from clone3, whose flags no filter can read.
    rule("clone", ACT_ALLOW, _Comparison(0, COMPARE_MASKED_EQUAL, CLONE_THREAD, CLONE_THREAD))
    rule("clone3", ACT_ERRNO | errno.ENOSYS)
    # None of Linux's own, such as a lease on a file of the machine, or word of its changes.
    rule("fcntl", ACT_ALLOW, _Comparison(1, COMPARE_LESS, F_LINUX, 0))
    rule("fcntl", ACT_ALLOW, _Comparison(1, COMPARE_EQUAL, F_DUPFD_CLOEXEC, 0))
    for request in (FIOCLEX, FIONCLEX):
        rule("ioctl", ACT_ALLOW, _Comparison(1, COMPARE_MASKED_EQUAL, 0xFFFFFFFF, request))
    file = os.memfd_create("filter")
    _checked(library.seccomp_export_bpf(context, file), "seccomp_export_bpf")
    library.seccomp_release(context)
    with os.fdopen(file, "rb") as stream:
        stream.seek(0)
        instructions = stream.read()
    return Filter(len(instructions) // INSTRUCTION_BYTES, instructions)


def limit(limits: Mapping[str, int], used_bytes: int) -> None:
    """Limits of this process; `used_bytes` of memory are mapped already and do not count. Raises
    OSError where the user may use less."""
    for name, most in {
        "AS": used_bytes + limits["memory_bytes"],
        "CPU": limits["seconds"],
        "FSIZE": limits["file_bytes"],
        "NOFILE": NUM_FILES,
        # Not for root, whose processes Linux does not count; the worker does.
        "NPROC": NUM_THREADS,
        "CORE": 0,
    }.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
        except ValueError:
            raise OSError(f"ulimit: RLIMIT_{name} of this user is below {most}") from None


def shut_in(folder_bytes: int, calls: Filter) -> None:
    """An empty folder, no view of processes, no capability, and only the system calls of `calls`.
    To be called in the child of `fork_alone`; nothing of it can be undone. Raises OSError."""
    options = f"size={folder_bytes},nr_inodes=1024,mode=700".encode()
    _mount(FOLDER, MS_NOSUID_NODEV, options)
    _mount("/proc", MS_NOSUID_NODEV | MS_RDONLY, b"size=4k,nr_inodes=1,mode=500")
    os.chdir(FOLDER)
    _checked(_libc.capset(_OWN_PROCESS, _NO_CAPABILITIES), "capset")
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    filter_address = ctypes.byref(calls)
    _checked(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_address, 0, 0), "seccomp")


def make_repeatable() -> None:
    """The same seeds for every program; the seed of hashes is the worker's."""
    random.seed(0)
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed(0)


def _mount(place: str, flags: int, options: bytes) -> None:
    status = _libc.mount(b"tmpfs", place.encode(), b"tmpfs", flags, options)
    _checked(status, f"mounting {place}")


def _checked(status: int, what: str) -> int:
    if status < 0:
        # libseccomp returns the error, the system library keeps it.
        number = ctypes.get_errno() or -status
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return status


@cache
def _seccomp() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    return library
