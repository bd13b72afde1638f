"""Programs against tests: the ``code`` verifier.

**Two problems, kept apart.** *Forgery*: a program makes a wrong answer look right. Isolation does not help against it; a
process that runs a program and also decides about it can be told anything by the program (``__eq__``, exit statuses,
markers, walks up the stack, patched built-ins, hooks at exit). *Escape*: a program harms or reads the host.

**Against forgery.** The program's process never holds an expected value and never decides. It is asked for values and says
them as plain data (``inside/plain.py``), which is read through the built-in types and compared elsewhere:

- an assert with one call and constants becomes a call whose arguments go over and whose value comes back; the rest of the
  assert is worked out in the worker (``expression.py``), on data of exact built-in types;
- any other test text runs in a *referee* (``inside/referee.py``): a process of its own, walled in alike, that reaches the
  program's functions by messages only;
- a program over standard input and output gets bytes and gives bytes and an exit status; expected outputs stay here.

So the worst that a program can do is to say wrong data, or none. What remains outside this: tests that are too weak, a
program that knows the answers by heart, tests that ask the program itself what is right.

**Against escape.** Each program has a process of its own, forked from a warm server (``inside/forkserver.py``) that has never
seen another program, and walled in by layers that fail apart from each other: name spaces of its own (pid, mount, ipc, uts,
cgroup; nobody in a user name space, in a net name space without an interface; the root holds the standard library, read-only, and an empty scratch folder), no
capability, Landlock, a seccomp list of allowed calls (no socket, no new process, no program file), limits on CPU, wall time,
memory, file sizes, threads. Killing its first process ends all of it. A host that lacks a layer is refused where that
leaves a protection without any layer, unless the options say otherwise (``without``).

Assumed: the kernel and the interpreter's C code do what they say; the tests are the problem's author's, not the model's.
"""
