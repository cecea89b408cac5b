"""Programs that mean harm: what they try, and the code that tries it.

Each is written so that it prints ESCAPED where it got what it wanted, and passes over what refuses.
Names in capitals are filled in by the test, which puts something there to be got.
"""

# ruff: noqa: E501 - a program on one line is easier to compare with its neighbours

PREAMBLE = """
import os, sys, ctypes, fcntl, signal, socket, threading, time, glob, mmap, resource
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what):
    try:
        return what()
    except BaseException as error:
        return None
def machine_code(code):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""

READS = {
    "the passwords of the machine": "attempt(lambda: open('/etc/passwd').read())",
    "the environment": "'SECRET' in str(attempt(lambda: open('/proc/1/environ').read()))",
    "its own environment": "dict(os.environ) or None",
    "the environment by C": "ctypes.c_char_p.in_dll(libc, 'environ').value and any("
    "b'SECRET' in (p or b'') for p in (ctypes.c_char_p * 9).from_address("
    "ctypes.c_void_p.in_dll(libc, 'environ').value))",
    "the repository": "attempt(lambda: open('HERE').read())",
    "any file of the user": "glob.glob('/home/*') or glob.glob('/root/*/*.txt') or glob.glob('/tmp/*')",
    "other processes": "glob.glob('/proc/*') or attempt(lambda: os.listdir('/proc'))",
    "the memory of the worker": "attempt(lambda: open('/proc/self/mem', 'rb'))",
    "what an earlier program left": "os.listdir('.') or os.listdir('/tmp')",
    "more than four devices": "len(os.listdir('/dev')) > 4",
    "a disk": "attempt(lambda: os.open('/dev/sda', 0) or os.open('/dev/vda', 0))",
    "descriptors of others": "[n for n in range(4, 300) if attempt(lambda: os.fstat(n))]",
    "packages of the user": "attempt(lambda: __import__('torch') or __import__('relex'))",
    "packages of the user by their place": "glob.glob('/usr/lib*/python*/*-packages/*') or "
    "glob.glob(os.path.dirname(os.__file__) + '/*-packages/*')",
    "the name of the machine": "os.uname().nodename == 'MACHINE'",
    "hidden folders behind its root": "attempt(lambda: os.chroot('/proc') or os.listdir('/..'))",
    "kernel logs": "libc.syscall(103, 10, 0, 0) >= 0",
    "the keys of the kernel": "libc.syscall(250, 0, -3, 1) >= 0",
    "a file by its handle": "libc.syscall(304, 0, 0, 0) >= 0",
}
"""Each an expression that is true where the program got it."""

REACHES = {
    "a socket to loopback": "attempt(lambda: socket.create_connection(('127.0.0.1', PORT), 1))",
    "a socket to outside": "attempt(lambda: socket.create_connection(('1.1.1.1', 53), 1))",
    "a datagram": "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))",
    "a unix socket": "attempt(lambda: socket.socket(socket.AF_UNIX))",
    "a pair of sockets": "attempt(lambda: socket.socketpair())",
    "a socket to the hypervisor": "attempt(lambda: socket.socket(40, 1))",
    "a raw socket": "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))",
    "netlink": "attempt(lambda: socket.socket(16, 3))",
    "a signal to its parent": "attempt(lambda: os.kill(os.getppid(), 9) or os.getppid())",
    "a signal to a process": "attempt(lambda: os.kill(VICTIM, 9) or True)",
    "signals to all": "attempt(lambda: [os.kill(n, 9) for n in range(2, 5)])",
    "ptrace": "libc.ptrace(16, VICTIM, 0, 0) == 0 or libc.ptrace(0, 0, 0, 0) == 0",
    "another's memory": "libc.process_vm_readv(VICTIM, 0, 0, 0, 0, 0) >= 0",
    "a handle of a process": "libc.syscall(434, VICTIM, 0) >= 0",
    "a shell": "os.system('true') == 0",
    "another program": "attempt(lambda: os.execv(sys.executable, ['python', '-c', 'print(1)']))",
    "a child": "attempt(os.fork)",
    "a child by vfork": "libc.syscall(58) > 0",
    "a child by clone": "libc.syscall(56, 17, 0, 0, 0, 0) > 0",
    "a child by clone3": "libc.syscall(435, (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17), 64) > 0",
    "a namespace of its own": "libc.unshare(0x10000000) == 0",
    "another namespace": "libc.setns(0, 0) == 0",
    "a mount": "libc.mount(b'tmpfs', b'/usr', b'tmpfs', 0, 0) == 0",
    "taking /proc back": "libc.umount2(b'/proc', 2) == 0",
    "a root of its own": "libc.syscall(155, b'/tmp', b'/tmp') == 0",
    "BPF": "libc.syscall(321, 0, 0, 0) >= 0",
    "io_uring": "libc.syscall(425, 1, (ctypes.c_char * 256)()) >= 0",
    "userfaultfd": "libc.syscall(323, 0) >= 0",
    "perf events": "libc.syscall(298, (ctypes.c_char * 128)(), 0, -1, -1, 0) >= 0",
    "a call as a 32-bit program": "machine_code(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3') > 0",
    "a call as an x32 program": "libc.syscall(0x40000000 | 41, 2, 1, 0) >= 0",
    "System V memory": "libc.shmget(0, 1 << 20, 0o1600) >= 0",
    "a message queue": "libc.msgget(0, 0o1600) >= 0",
    "a file in memory": "attempt(lambda: os.memfd_create('x'))",
    "a module of the kernel": "libc.syscall(313, 0, b'', 0) == 0",
    "writing over what hides the processes": "attempt(lambda: open('/proc/x', 'w'))",
    "a limit of another process": "libc.prlimit(VICTIM, 0, 0, 0) == 0 and libc.prlimit(2, 0, 0, 0) == 0",
    "a lease on another's memory": "libc.syscall(440, VICTIM, 0, 0, 0, 0) >= 0",
    "another clock": "attempt(lambda: time.clock_settime(0, 0) or True)",
    "another name of the machine": "attempt(lambda: socket.sethostname('x') or True)",
    "another user": "attempt(lambda: os.setuid(1) or True) or attempt(lambda: os.setgid(1) or True)",
    "capabilities": "libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[~0] * 6)) == 0",
    "a higher limit": "attempt(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) or True)",
    "a longer time": "attempt(lambda: resource.setrlimit(resource.RLIMIT_CPU, (99, 99)) or True)",
    "priority": "attempt(lambda: os.nice(-5) or True)",
    "writing to the sandbox's code": "attempt(lambda: open('/inside/tester.py', 'a'))",
    "writing to Python": "attempt(lambda: open(os.__file__, 'a'))",
    "writing to the root": "attempt(lambda: open('/x', 'w'))",
    "writing to the host": "attempt(lambda: open('HOST_FOLDER/x', 'w'))",
    "a device": "attempt(lambda: os.mknod('/tmp/x', 0o60600, 0x0801) or True)",
    "a link out of its folder": "attempt(lambda: os.link('/inside/tester.py', '/tmp/x') or True)",
    "writing among packages": "attempt(lambda: open(os.path.dirname(os.__file__) + '/site-packages/x', 'w'))",
    "a lease on a file of the machine": "attempt(lambda: fcntl.fcntl(open(os.__file__), fcntl.F_SETLEASE, fcntl.F_RDLCK)) == 0",
    "word of the machine's changes": "attempt(lambda: fcntl.fcntl(os.open('/usr/lib', 0), fcntl.F_NOTIFY, 7)) == 0",
    "a terminal's input": "libc.ioctl(0, 0x5412, b'x') == 0",
}
"""Each an expression that is true where the program reached it."""

RUINS = {
    "a fork bomb": "while True:\n    os.fork()",
    "a fork bomb of children that ignore all": "while True:\n    attempt(os.fork)",
    "a thread bomb": "def more():\n    while True:\n        threading.Thread(target=more).start()\nmore()",
    "a thread bomb with small stacks": "threading.stack_size(1 << 15)\n"
    "while True:\n    threading.Thread(target=time.sleep, args=[99]).start()",
    "a bomb of threads in C": "size = ctypes.c_size_t(1 << 14)\nkind = (ctypes.c_char * 64)()\n"
    "libc.pthread_attr_init(kind)\nlibc.pthread_attr_setstacksize(kind, size)\n"
    "pause = ctypes.cast(libc.pause, ctypes.c_void_p)\nwhile True:\n"
    "    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), kind, pause, None)",
    "a memory bomb": "x = [0]\nwhile True:\n    x += x",
    "a memory bomb that goes on": "x = []\nwhile True:\n    attempt(lambda: x.append(bytearray(1 << 20)))",
    "a memory bomb of shared pages": "x = []\nwhile True:\n    x.append(mmap.mmap(-1, 1 << 24))",
    "a file that grows": "f = open('x', 'wb')\nwhile True:\n    f.write(bytes(1 << 20))",
    "files without number": "n = 0\nwhile True:\n    n += 1\n    open(str(n), 'w').close()",
    "folders without end": "while True:\n    os.mkdir('x'); os.chdir('x')",
    "descriptors without number": "x = []\nwhile True:\n    x.append(os.pipe())",
    "endless output": "while True:\n    print('x' * 10000)",
    "endless output that goes on": "while True:\n    attempt(lambda: os.write(1, bytes(1 << 20)))",
    "endless errors": "while True:\n    os.write(2, bytes(1 << 20))",
    "an endless loop": "while True:\n    pass",
    "an endless loop in C": "import itertools\nsum(itertools.repeat(1))",
    "a pattern that goes back for ever": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
    "a number without end": "9 ** 9 ** 9",
    "a loop with all signals ignored": "for n in range(1, 65):\n"
    "    attempt(lambda: signal.signal(n, signal.SIG_IGN))\nwhile True:\n    pass",
    "a sleep": "time.sleep(3600)",
    "a sleep of all its threads": "for n in range(20):\n"
    "    threading.Thread(target=time.sleep, args=[3600]).start()",
    "threads that mostly sleep": "def nap():\n    while True:\n        time.sleep(0.01)\n"
    "for n in range(40):\n    threading.Thread(target=nap).start()",
    "a wait for a signal": "signal.pause()",
    "a wait for input that does not come": "import select\nr, w = os.pipe()\nos.read(r, 1)",
    "an end that never comes": "import atexit\natexit.register(time.sleep, 3600)",
    "a deep recursion": "sys.setrecursionlimit(10 ** 9)\ndef f():\n    f()\nf()",
    "a deep recursion in C": "x = ()\nfor n in range(10 ** 7):\n    x = (x,)\nhash(x)",
    "a fall": "ctypes.string_at(0)",
    "an abort": "os.abort()",
    "a stop": "os.kill(os.getpid(), signal.SIGSTOP)\nwhile True:\n    pass",
    "a kill of itself": "os.kill(os.getpid(), 9)\nwhile True:\n    pass",
    "a long source": "exec('x=1\\n' * 10 ** 7)",
}
"""Each a program that must end, and by itself or a limit."""

PATIENT = {
    "a fork bomb of children that ignore all",
    "a memory bomb that goes on",
    "endless output that goes on",
    "an endless loop",
    "a pattern that goes back for ever",
    "a number without end",
    "a sleep of all its threads",
    "a wait for a signal",
    "a wait for input that does not come",
    "an end that never comes",
    "a deep recursion",
    "a deep recursion in C",
    "a stop",
    "a kill of itself",
    "a long source",
}
"""Those that take all their time, and of which a few are enough for every day."""

FORGERIES = {
    "ends well before the tests": "raise SystemExit(0)",
    "ends well in a call": "def f(x):\n    raise SystemExit(0)",
    "ends its process in a call": "def f(x):\n    os._exit(0)",
    "ends its process at once": "os._exit(0)",
    "ends at exit": "import atexit\natexit.register(os._exit, 0)\ndef f(x):\n    sys.exit()",
    "a value that is equal to all": "class Yes:\n    def __eq__(self, other): return True\n"
    "    def __ne__(self, other): return False\n    __hash__ = None\ndef f(x):\n    return Yes()",
    "a number that is equal to all": "class Yes(int):\n    def __eq__(self, other): return True\n"
    "    def __ne__(self, other): return False\n    def __pos__(self): return self\n"
    "def f(x):\n    return Yes(3)",
    "a text that is equal to all": "class Yes(str):\n    def __eq__(self, other): return True\n"
    "    def __str__(self): return self\ndef f(x):\n    return Yes('3')",
    "a list that is equal to all": "class Yes(list):\n    def __eq__(self, other): return True\n"
    "def f(x):\n    return Yes()",
    "a class that says it is another": "class Yes:\n    __class__ = int\n"
    "    def __eq__(self, other): return True\ndef f(x):\n    return Yes()",
    "a value not equal to itself": "def f(x):\n    return float('nan')",
    "builtins that say yes": "import builtins\nbuiltins.all = builtins.any = lambda x: True\n"
    "builtins.AssertionError = StopIteration\nbuiltins.isinstance = lambda *x: True\n"
    "def f(x):\n    return 3",
    "an assertion that is never one": "import builtins\nclass Never(type):\n"
    "    def __instancecheck__(self, other): return False\n"
    "class AssertionError(Exception, metaclass=Never): pass\n"
    "builtins.AssertionError = AssertionError\ndef f(x):\n    return 3",
    "an exception that ends a loop": "def f(x):\n    raise StopIteration",
    "an exception that ends a generator": "def f(x):\n    raise GeneratorExit",
    "an exception of a name of its own": "class ProgramEnded(BaseException): pass\n"
    "def f(x):\n    raise ProgramEnded",
    "an exception that cannot be written": "class Bad(Exception):\n"
    "    def __str__(self): raise SystemExit(0)\ndef f(x):\n    raise Bad",
    "an exception with a long name": "def f(x):\n    raise type('A' * 10 ** 7, (Exception,), {})",
    "the checker patched": "for module in list(sys.modules.values()):\n"
    "    for name in ('same', 'same_output', '_verdict', 'run_tests', 'run_code', 'from_data'):\n"
    "        if hasattr(module, name):\n            setattr(module, name, lambda *a, **k: True)\n"
    "def f(x):\n    return 3",
    "the codec patched": "import json\njson.dumps = lambda *a, **k: '{\"value\": 2}'\n"
    "def f(x):\n    return 3",
    "an answer before the question": "import json, struct\ntext = json.dumps({'value': 42}).encode()\n"
    "for n in range(20):\n    os.write(4, struct.pack('<I', len(text)) + text)\ndef f(x):\n    return 42",
    "a verdict of its own": "for n in range(20):\n    attempt(lambda: os.write(n, b'[true, \"\"]\\n' * 9))",
    "a verdict in a call": "def f(x):\n    for n in range(20):\n"
    "        attempt(lambda: os.write(n, b'[true, \"\"]\\n' * 9))\n    os._exit(0)",
    "results of its own that are none": "for n in range(3, 20):\n"
    "    for text in (b'{\"value\": {}}', b'[]', b'{\"raised\": {}}', b'{\"value\": {\"a\": {}}}'):\n"
    "        attempt(lambda: os.write(n, text + b'\\n'))\nos._exit(0)",
    "results without number": "for n in range(3, 20):\n"
    "    attempt(lambda: os.write(n, b'ab\\n' * 5 * 10 ** 6))\nos._exit(0)",
    "no text at all": "def f(x):\n    os.write(4, b'\\xff' * 100)",
    "a message that is too long": "def f(x):\n    os.write(4, b'\\xff\\xff\\xff\\xff')\n    time.sleep(9)",
    "a message that is too deep": "def f(x):\n    import struct\n    text = b'[' * 10 ** 6\n"
    "    os.write(4, struct.pack('<I', len(text)) + text)\n    time.sleep(9)",
    "a message of an unknown kind": 'def f(x):\n    import struct\n    text = b\'{"value": {"eval": 1}}\'\n'
    "    os.write(4, struct.pack('<I', len(text)) + text)\n    time.sleep(9)",
    "a message that hangs up": "os.close(4)\ndef f(x):\n    return 2",
    "what its frames know": "found = []\nframe = sys._getframe()\nwhile frame:\n"
    "    found += [v for v in frame.f_locals.values()]\n    frame = frame.f_back\n"
    "def f(x):\n    return next((v for v in found if v == 4242), 3)",
    "what the collector knows": "import gc, re\ndef f(x):\n"
    "    text = repr([o for o in gc.get_objects() if type(o) in (list, dict, tuple)])\n"
    "    return 4242 if re.search(r'f\\(17\\) == (\\d+)', text) else 3",
    "what its memory holds": "def f(x):\n    for place in range(3, 9):\n"
    "        text = attempt(lambda: os.pread(place, 10 ** 6, 0))\n"
    "        if text and b'4242' in text:\n            return 4242\n    return 3",
    "a function that knows the test it saw": "def f(x):\n    return {1: 2}.get(x)",
    "a name that hides a builtin of the tests": "def all(x): return True\ndef any(x): return True\n"
    "def abs(x): return 0\ndef len(x): return 0\ndef f(x):\n    return 3",
    "a thread that answers": "import struct, json\ndef answer():\n    text = json.dumps({'value': 2}).encode()\n"
    "    while True:\n        os.write(4, struct.pack('<I', len(text)) + text)\n"
    "threading.Thread(target=answer, daemon=True).start()\ndef f(x):\n    time.sleep(0.1)\n    return 3",
    "a program that sleeps in every test": "def f(x):\n    time.sleep(3600)",
    "a program that sleeps before the tests": "time.sleep(3600)",
    "a name of another type": "f = 42",
    "a function that is not there": "pass",
    "a source that is no program": "}}}",
    "a source of nothing": "",
    "a source with a null": "x = '\x00'",
}
"""Programs of which none passes the tests of `f`: f(1) is 2, and f(17) is 4242."""

PRINTED = {
    "the input": "print(input())",
    "what it finds in its descriptors": "for n in range(3, 20):\n"
    "    text = attempt(lambda: os.pread(n, 10 ** 6, 0))\n    print(text or '')",
    "what it finds in its memory": "import gc, re\n"
    "print(re.findall(r'84\\d\\d', repr(gc.get_objects())[:10 ** 7]))",
    "what its own output holds": "print(attempt(lambda: os.pread(1, 10 ** 6, 0)))",
    "nothing, with a good end": "sys.exit(0)",
    "numbers that are no numbers": "print('nan')",
    "a signalling number": "print('snan')",
    "a number of a million digits": "print('1' * 10 ** 6)",
    "a huge exponent": "print('1e999999999')",
    "no text": "os.write(1, bytes(range(256)))",
    "all numbers": "print(*range(10000))",
    "an output with a hole": "os.lseek(1, 10 ** 6, 0)\nprint(1)",
    "an output written over": "os.ftruncate(1, 10 ** 7)",
}
"""Programs of which none prints 8471 alone, which is to be printed for the input 5."""

SPOILING = {
    "good ends of its own": "print(2, flush=True)\nos.write(3, b'+' * 99)",
    "good ends of its own and no end": "print(2, flush=True)\nos.write(3, b'+' * 99)\n"
    "while input() != '1':\n    pass",
    "a good end in the middle": "print(2, flush=True)\nos._exit(0)",
    "an output for every run": "for n in range(5, 64):\n    attempt(lambda: os.write(n, b'2'))\nprint(2)",
    "what it finds of the next runs": "print(2, *[attempt(lambda: os.pread(n, 10 ** 6, 0)) for n in range(5, 64)])",
    "calls of the system that do nothing": "print(2, flush=True)\nos.dup2 = os.close = lambda *a: None",
}
"""Programs that print 2 for the input 1, and do not print 8471 for the input 5 in a later run."""
