"""What a submission may say: which commands, attributes and options, and which pieces of syntax never.

What must stay true: with the default policy no code of the submission runs while it is elaborated. Commands, command parts,
attributes and options are allow-lists, checked on the parsed syntax before elaboration; terms and tactics that run code or read files are
named, because the syntax of the library is fixed once no command may extend it. Nothing of it decides a proof: a verdict is read
from the environment and the kernel whatever the policy let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

_COMMAND: Final = "Lean.Parser.Command."
_COMMANDS: Final = (
    # whole commands
    "declaration", "open", "namespace", "section", "end", "variable", "universe", "set_option", "mutual", "in", "include",
    "omit", "attribute", "export", "moduleDoc", "check", "check_failure", "print", "printAxioms", "printSig", "printEqns",
    "where", "eoi",
    # kinds of declaration, and their parts
    "theorem", "definition", "abbrev", "example", "inductive", "structure", "classInductive", "structureTk", "classTk",
    "declId", "declSig", "optDeclSig", "declModifiers", "declValSimple", "declValEqns", "whereStructInst", "optDeriving",
    "derivingClass", "ctor", "structCtor", "structFields", "structExplicitBinder", "structImplicitBinder", "structInstBinder",
    "structSimpleBinder", "structParent", "extends", "docComment", "private", "protected", "public", "noncomputable", "nonrec",
    "partial", "eraseAttr", "sectionHeader", "openSimple", "openOnly", "openHiding", "openRenaming", "openRenamingItem",
    "openScoped", "namedPrio", "visibility",
)  # fmt: skip
#: Commands of libraries (Mathlib) that only state theorems.
_LIBRARY_COMMANDS: Final = ("lemma",)
#: Terms, tactics and modifiers that run code of the submission, trust compiled code, or read files.
_DENIED: Final = (
    "Lean.byElab", "Lean.runElab", "Lean.runMeta", "Lean.runCmd", "Lean.includeStr", "Lean.Parser.Tactic.runTac",
    "Lean.Parser.Term.unsafe", "Lean.Parser.Term.elabToSyntax", "Lean.Parser.Tactic.nativeDecide", "Lean.Parser.Tactic.sleep",
    "Lean.Parser.Term.leading_parser", "Lean.Parser.Term.trailing_parser", "Lean.Parser.Command.unsafe",
    "Lean.Parser.Command.meta", "Lean.Parser.Term.withDeclName", "Lean.Parser.Term.dbgTrace",
    "Mathlib.Tactic.evalTerm", "Mathlib.RunCmd.runTac", "Mathlib.RunCmd.byElab", "Mathlib.Tactic.tacticEval",
)  # fmt: skip
_ATTRIBUTE_KINDS: Final = (
    "Lean.Parser.Attr.simp", "Lean.Parser.Attr.ext", "Lean.Parser.Attr.grind", "Lean.Parser.Attr.norm_cast",
    "Lean.Parser.Attr.specialize", "Lean.Parser.Attr.recursor", "Lean.Parser.Command.eraseAttr", "Lean.deprecated",
)  # fmt: skip
_ATTRIBUTES: Final = (
    "simp", "reducible", "irreducible", "semireducible", "inline", "always_inline", "noinline", "elab_as_elim", "refl", "symm",
    "trans", "congr", "push_cast", "match_pattern", "inherit_doc", "expose", "simprocs", "bitvec_normalize",
    "aesop", "gcongr", "norm_num", "simps", "nolint",
)  # fmt: skip
_OPTIONS: Final = (
    "maxHeartbeats", "maxRecDepth", "autoImplicit", "relaxedAutoImplicit", "synthInstance.maxHeartbeats", "synthInstance.maxSize",
    "tactic.hygienic", "exponentiation.threshold", "structureDiamondWarning",
)  # fmt: skip
_OPTION_ROOTS: Final = ("linter", "pp", "backward")


@dataclass(frozen=True, slots=True)
class Policy:
    """Names of syntax kinds, attributes and options; ``any`` lets everything through, for trusted submissions."""

    any: bool = False
    commands: tuple[str, ...] = field(default=(*(_COMMAND + name for name in _COMMANDS), *_LIBRARY_COMMANDS))
    denied: tuple[str, ...] = _DENIED
    attribute_kinds: tuple[str, ...] = _ATTRIBUTE_KINDS
    attributes: tuple[str, ...] = _ATTRIBUTES
    options: tuple[str, ...] = _OPTIONS
    option_roots: tuple[str, ...] = _OPTION_ROOTS

    def request(self) -> dict[str, Any]:
        """The server's ``policy`` command."""
        lists = ("commands", "denied", "attribute_kinds", "attributes", "options", "option_roots")
        return {"cmd": "policy", "any": self.any, "goals": True, **{name: list(getattr(self, name)) for name in lists}}


def policy(more: Iterable[str] | str = ()) -> Policy:
    """The default policy with further commands: short names (``instance``) or whole kinds; ``"any"`` allows everything."""
    if more == "any":
        return Policy(any=True)
    names = [more] if isinstance(more, str) else list(more)
    kinds = tuple(name if "." in name else _COMMAND + name for name in names)
    plain = Policy()
    return Policy(commands=(*plain.commands, *kinds))
