"""Rewrites the JavaScript around the module: no host files but two folders, symbols by hash, deep recursion, bytes from stdin.

What must stay true: the program sees ``/lean`` (the toolchain) and ``/server`` (our server's source) of the host, and nothing else;
``/tmp`` and ``/home`` are in its memory. It cannot start a process. Whatever is not found exactly where it is expected is an error, so
that another build of the package is refused and never half rewritten.
"""

from __future__ import annotations

import re
from typing import Final

from tracemill.schemas.errors import DataError
from tracemill.verifiers.lean.install.wasm import INDEX_SLOTS

_WORD: Final = re.compile(r"[A-Za-z_$][\w$]*")
_ASSIGN: Final = "function assignWasmExports(wasmExports){"

LOOK_UP: Final = (
    "__dlsym_js=(handle,symbol,symbolIndex)=>{var T=__symT||(__symT=__loadSyms());var H=(growMemViews(),HEAPU8);"
    "var h=0x811c9dc5|0,g=0x9747b28c|0,c,p=symbol;"
    "while((c=H[p++])!==0){h=Math.imul(h^c,0x01000193);g=Math.imul((g+c)|0,0x85ebca6b);g^=g>>>15}"
    "h>>>=0;g>>>=0;if(g===0)g=1;"
    f"var k=h&{INDEX_SLOTS - 1};"
    "for(;;){var b=T[3*k+1];if(b===0)break;if(b===g&&T[3*k]===h)return T[3*k+2];"
    f"k=(k+1)&{INDEX_SLOTS - 1}}}"
    'dlSetError("unknown symbol");return 0}'
)
_LOAD_SYMBOLS: Final = (
    'var __symT=null;var __loadSyms=()=>{var b=fs.readFileSync(scriptDirectory+"symbols.bin");'
    "return new Uint32Array(b.buffer.slice(b.byteOffset,b.byteOffset+b.length))};"
)
#: Standard input as bytes, blocking; the published code decodes each block as text, which breaks characters at its edges.
_STDIN: Final = (
    "var __inB=null,__inP=0,__inN=0;var FS_stdin_getChar=()=>{if(__inP>=__inN){__inB??=Buffer.alloc(65536);for(;;){try{"
    '__inN=fs.readSync(0,__inB,0,65536);break}catch(e){if(e.code==="EAGAIN"){'
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,3);continue}"
    'if(e.code==="EOF"){__inN=0;break}throw e}}__inP=0;if(__inN===0)return null}return __inB[__inP++]};'
)
#: What the program sees of the host.
_MOUNTS: Final = (
    'for(var [at,root] of [["/lean",process.env.TRACEMILL_LEAN_ROOT],["/server",process.env.TRACEMILL_LEAN_SERVER]])'
    '{FS.mkdir(at);FS.mount(NODEFS,{root},at)}ENV["LEAN_PATH"]="/lean/lib/lean";FS.chdir("/tmp")'
)
#: A shadow stack of 256 MB: V8's own limit is then met first, which is an exception and not silent corruption.
_STACK: Final = '{var __sz=268435456,__b=wasmExports["malloc"](__sz);_emscripten_stack_set_limits(__b+__sz,__b);stackRestore(__b+__sz)}'


def skeleton(source: str) -> str:
    """The published script without the 200,000 assignments of exports that nothing in it names."""
    begin = _find(source, _ASSIGN)
    end = source.index("}", begin)
    declared = source.rindex("var ", 0, begin)
    names = source[declared + 4 : begin].rstrip().rstrip(";").split(",")
    used = words(source[:declared]) | words(source[end + 1 :])
    statements: list[str] = []
    kept: set[str] = set()
    for statement in source[begin + len(_ASSIGN) : end].split(";"):
        targets = [part for part in statement.split("=")[:-1] if _WORD.fullmatch(part)]
        if any(target in used for target in targets):
            statements.append(statement)
            kept.update(targets)
    variables = [name for name in names if (bare := name.split("=")[0]) in used or bare in kept]
    return "".join(
        (source[:declared], "var ", ",".join(variables), ";", _ASSIGN, ";".join(statements), "}", source[end + 1 :])
    )


def words(source: str) -> frozenset[str]:
    """The identifiers in a script."""
    return frozenset(_WORD.findall(source))


def rewrite(script: str) -> str:
    """The skeleton with our start-up, file system and symbol look-up. Raises DataError where a place is not as expected."""
    text = _span(script, "__dlsym_js=(handle,symbol,symbolIndex)=>{", ";__dlsym_js.sig=", LOOK_UP)
    text = _swap(text, "var __dlsym_js=", _LOAD_SYMBOLS + "var __dlsym_js=")
    text = _swap(
        text, "functionsInTableMap=new WeakMap;updateTableMap(0,wasmTable.length)", "functionsInTableMap=new WeakMap"
    )
    text = _swap(
        text,
        "for(var[symName,entry]of Object.entries(GOT)){if(entry.value==-1){",
        "for(var[symName,entry]of Object.entries(GOT)){if(entry.value==-1){"
        "if(/^(emscripten_|al[A-Z]|alc[A-Z])/.test(symName)){entry.value=0;continue}",
    )
    text = _swap(
        text,
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread"})',
        'new Worker(pthreadMainJs,{workerData:"em-pthread",name:"em-pthread",resourceLimits:{stackSizeMb:64}})',
    )
    text = _swap(
        text,
        "var tlsExports={};metadata.tlsExports.forEach(s=>tlsExports[s]=moduleExports[s]);"
        "updateGOT(relocateExports(tlsExports,__tls_base),true)",
        "",
    )
    text = _span(text, "var FS_stdin_getChar=()=>{", "return FS_stdin_getChar_buffer.shift()};", _STDIN, through=True)
    # a read must stop at a line's end, or it waits for more input
    text = _swap(
        text,
        "if(result===null||result===undefined)break;bytesRead++;buffer[offset+i]=result}",
        "if(result===null||result===undefined)break;bytesRead++;buffer[offset+i]=result;if(result===10)break}",
        times=2,
    )
    text = _swap(text, "function callMain(args=[]){", "function callMain(args=[]){" + _STACK)
    text = _swap(text, "wasmTableMirror=[]", "wasmTableMirror=new Array(152000).fill(undefined)")
    text = _span(text, 'var lean_path=process.env["LEAN_PATH"];', "FS.chdir(cwd)", _MOUNTS, through=True)
    text = _swap(text, 'thisProgram=process.argv[1].replace(/\\\\/g,"/")', 'thisProgram="/lean/bin/lean"')
    text = _swap(text, "if(isNode){path=__filename}", 'if(isNode){path="/lean/bin/lean.js"}')
    text = _swap(text, 'process.binding("constants")["fs"]', "fs.constants")
    text = _span(
        text, "__emscripten_system=command=>{", ";__emscripten_system.sig=", "__emscripten_system=command=>-52"
    )
    return _swap(text, "eval(UTF8ToString(ptr))", "0", times=3)


def _find(text: str, what: str, times: int = 1) -> int:
    count = text.count(what)
    if count != times:
        raise DataError(
            f"{what[:60]!r} is there {count} times, not {times}",
            where="lean.js",
            mend="this is another build of the package; remove it from the cache's downloads and install again",
        )
    return text.index(what)


def _swap(text: str, old: str, new: str, times: int = 1) -> str:
    _find(text, old, times)
    return text.replace(old, new)


def _span(text: str, begin: str, end: str, new: str, *, through: bool = False) -> str:
    """Replace from ``begin`` up to the next ``end``, which stays unless ``through``."""
    start = _find(text, begin)
    stop = text.index(end, start) + (len(end) if through else 0)
    return text[:start] + new + text[stop:]
