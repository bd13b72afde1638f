module
public import Lean
public section
open Lean Elab Meta
set_option compiler.small 0

/-! The checker: one JSON request a line on standard input, one line `@@NONCE {...}` an answer on standard output.

What must stay true. The verdict is read from environments and never from messages: the theorem that the submission made is compared,
as an elaborated type, with the one that the trusted statement makes in the same header, and every constant that the submission added is
checked again by the kernel, with empty options, on top of the header's environment, which the submission cannot reach. A command that the
policy does not name is not elaborated. Standard output is fetched once, before any submission is read, and each answer carries the request's nonce.

The code keeps to what the WebAssembly build can interpret: it ships only the exported part of the library, so there are no `for`
loops, no `List` append and no generic containers here. -/
namespace ProofServer

/-! ### JSON -/

def jstr (s : String) : Json := .str s
def jnat (n : Nat) : Json := .num n
def jbool (b : Bool) : Json := .bool b

def str (key : String) (j : Json) (dflt : String := "") : String :=
  match j.getObjVal? key with
  | .ok (.str v) => v
  | _ => dflt

def asNat (j : Json) : Nat :=
  match j.getNat? with | .ok n => n | _ => 0

def nat (key : String) (j : Json) (dflt : Nat := 0) : Nat :=
  match j.getObjVal? key with
  | .ok v => match v.getNat? with | .ok n => n | _ => dflt
  | _ => dflt

def flag (key : String) (j : Json) : Bool :=
  match j.getObjVal? key with
  | .ok (.bool b) => b
  | _ => false

def arrOf (j : Json) : Array Json :=
  match j with | .arr a => a | _ => #[]

def arr (key : String) (j : Json) : Array Json :=
  match j.getObjVal? key with | .ok v => arrOf v | _ => #[]

def item (a : Array Json) (i : Nat) : Json :=
  match a[i]? with | some v => v | none => .null

partial def firstStrs : Nat → List String → List String
  | 0, _ => []
  | _, [] => []
  | n+1, x :: r => x :: firstStrs n r

partial def strsGo (a : Array Json) (i : Nat) (acc : List String) : List String :=
  if i = 0 then acc
  else match a[i-1]? with
    | some (.str s) => strsGo a (i-1) (s :: acc)
    | _ => strsGo a (i-1) acc

def strs (key : String) (j : Json) : List String := let a := arr key j; strsGo a a.size []

partial def jstrs : List String → Array Json → Array Json
  | [], a => a
  | s :: r, a => jstrs r (a.push (.str s))

partial def firstChars : Nat → List Char → List Char
  | 0, _ => []
  | _, [] => []
  | n+1, c :: r => c :: firstChars n r

def clip (s : String) (n : Nat := 4000) : String := if s.length > n then String.ofList (firstChars n s.toList) ++ " ..." else s

/-! ### names, without the token table -/

def nstr : Name → String
  | .anonymous => "_"
  | .str .anonymous s => s
  | .num .anonymous k => Nat.repr k
  | .str p s => nstr p ++ "." ++ s
  | .num p k => nstr p ++ "." ++ Nat.repr k

partial def mem (s : String) : List String → Bool
  | [] => false
  | a :: r => if a = s then true else mem s r

partial def toSet : List String → NameSet → NameSet
  | [], s => s
  | a :: r, s => toSet r (s.insert a.toName)

/-! ### what a submission may say -/

structure Policy where
  any        : Bool := false
  info       : Bool := false
  commands   : NameSet := {}
  denied     : NameSet := {}
  attrKinds  : NameSet := {}
  attributes : NameSet := {}
  options    : NameSet := {}
  optionRoots : NameSet := {}

def policyOf (j : Json) : Policy where
  any := flag "any" j
  info := flag "goals" j
  commands := toSet (strs "commands" j) {}
  denied := toSet (strs "denied" j) {}
  attrKinds := toSet (strs "attribute_kinds" j) {}
  attributes := toSet (strs "attributes" j) {}
  options := toSet (strs "options" j) {}
  optionRoots := toSet (strs "option_roots" j) {}

def commandRoot : Name := `Lean.Parser.Command

def optionAllowed (p : Policy) (n : Name) : Bool :=
  if p.options.contains n then true else p.optionRoots.contains n.getRoot

def argAt (s : Syntax) (i : Nat) : Syntax := s.getArg i

partial def firstIdent : List Syntax → Option Name
  | [] => none
  | s :: r => match s with
    | .ident _ _ n _ => some n
    | .node _ _ as => match firstIdent as.toList with | some n => some n | none => firstIdent r
    | _ => firstIdent r

def optionKinds : NameSet :=
  (((({} : NameSet).insert `Lean.Parser.Command.set_option).insert `Lean.Parser.Term.set_option).insert
    `Lean.Parser.Tactic.set_option).insert `Lean.Parser.Tactic.Grind.setOption

/-- what of the policy a piece of syntax breaks, and where -/
partial def broken (p : Policy) (s : Syntax) : Option (String × Syntax) :=
  match s with
  | .node _ k args =>
    if p.denied.contains k then some (nstr k, s)
    else if commandRoot.isPrefixOf k && !(p.commands.contains k) then some (nstr k, s)
    else if k == `Lean.Parser.Term.attrInstance then
      match argAt s 1 with
      | .node i ak as =>
        if ak == `Lean.Parser.Attr.simple then
          match firstIdent as.toList with
          | some n => if p.attributes.contains n then none else some ("attribute " ++ nstr n, s)
          | none => some ("attribute", s)
        else if p.attrKinds.contains ak then none else some ("attribute " ++ nstr ak, .node i ak as)
      | _ => some ("attribute", s)
    else if optionKinds.contains k then
      match firstIdent args.toList with
      | some n => if optionAllowed p n then brokenIn p args 0 else some ("set_option " ++ nstr n, s)
      | none => some ("set_option", s)
    else brokenIn p args 0
  | _ => none
where
  brokenIn (p : Policy) (args : Array Syntax) (i : Nat) : Option (String × Syntax) :=
    match args[i]? with
    | none => none
    | some a => match broken p a with | some b => some b | none => brokenIn p args (i+1)

def forbidden (p : Policy) (s : Syntax) : Option (String × Syntax) :=
  if p.any then none
  else if p.commands.contains s.getKind then broken p s
  else some (nstr s.getKind, s)

/-! ### a set of declarations, by name -/

structure Decls where
  table : Array (List (Name × ConstantInfo)) := Array.replicate 1024 []
  names : List Name := []

partial def findIn (n : Name) : List (Name × ConstantInfo) → Option ConstantInfo
  | [] => none
  | (m, c) :: r => if m == n then some c else findIn n r

def slot (n : Name) (size : Nat) : Nat := n.hash.toNat % size

def Decls.find? (d : Decls) (n : Name) : Option ConstantInfo :=
  match d.table[slot n d.table.size]? with | some l => findIn n l | none => none

def Decls.add (d : Decls) (n : Name) (c : ConstantInfo) : Decls :=
  let i := slot n d.table.size
  match d.table[i]? with
  | some l => { table := d.table.set! i ((n, c) :: l), names := n :: d.names }
  | none => d

abbrev CNode := PersistentHashMap.Node Name ConstantInfo

mutual
partial def nodeGo (base : Environment) : CNode → Decls → Decls
  | .entries es, acc => entGo base es es.size acc
  | .collision ks vs _, acc => colGo base ks vs ks.size acc
partial def entGo (base : Environment) (es : Array (PersistentHashMap.Entry Name ConstantInfo CNode)) (i : Nat) (acc : Decls) : Decls :=
  if i = 0 then acc else
  match es[i-1]? with
  | some (.entry k v) => entGo base es (i-1) (if base.contains k then acc else acc.add k v)
  | some (.ref n) => entGo base es (i-1) (nodeGo base n acc)
  | _ => entGo base es (i-1) acc
partial def colGo (base : Environment) (ks : Array Name) (vs : Array ConstantInfo) (i : Nat) (acc : Decls) : Decls :=
  if i = 0 then acc else
  match ks[i-1]?, vs[i-1]? with
  | some k, some v => colGo base ks vs (i-1) (if base.contains k then acc else acc.add k v)
  | _, _ => colGo base ks vs (i-1) acc
end

/-- the constants of `env` that are not in `base` -/
def newDecls (base env : Environment) : Decls := nodeGo base env.toKernelEnv.constants.map₂.root {}

def kindOf : ConstantInfo → String
  | .axiomInfo _ => "axiom" | .defnInfo _ => "def" | .thmInfo _ => "theorem" | .opaqueInfo _ => "opaque"
  | .quotInfo _ => "quot" | .inductInfo _ => "inductive" | .ctorInfo _ => "constructor" | .recInfo _ => "recursor"

def valueOf? : ConstantInfo → Option Expr
  | .defnInfo v => some v.value | .thmInfo v => some v.value | .opaqueInfo v => some v.value | _ => none

partial def addNames : List Name → List Name → List Name
  | [], b => b
  | a :: r, b => a :: addNames r b

def usedBy (c : ConstantInfo) : List Name :=
  let t := c.type.getUsedConstants.toList
  match c with
  | .inductInfo v => addNames v.ctors (addNames v.all t)
  | .ctorInfo v => v.induct :: t
  | .recInfo v => addNames v.all t
  | _ => match valueOf? c with | some v => addNames v.getUsedConstants.toList t | none => t

/-! ### axioms: the imported library is trusted; constants of the header and of the submission are opened -/

structure AxState where
  seen : NameSet := {}
  axs  : List Name := []

def coreAxioms : NameSet :=
  ((((((({} : NameSet).insert ``sorryAx).insert ``propext).insert ``Classical.choice).insert ``Quot.sound).insert
    ``Lean.ofReduceBool).insert ``Lean.ofReduceNat).insert ``Lean.trustCompiler

mutual
partial def axName (lib base : Environment) (kenv : Kernel.Environment) (d : Decls) (n : Name) (s : AxState) : AxState :=
  if s.seen.contains n then s else
  let s := { s with seen := s.seen.insert n }
  if coreAxioms.contains n then { s with axs := n :: s.axs } else
  match d.find? n with
  | none =>
    if lib.contains n then s else
    match base.find? n with
    | some c => axConst lib base kenv d c s
    | none => match kenv.find? n with
      | some (.recInfo _) => s  -- made by the kernel from an inductive type that is here
      | _ => { s with axs := n :: s.axs }
  | some c => axConst lib base kenv d c s
partial def axConst (lib base : Environment) (kenv : Kernel.Environment) (d : Decls) (c : ConstantInfo) (s : AxState) : AxState :=
  let s := match c with | .axiomInfo _ => { s with axs := c.name :: s.axs } | _ => s
  axNames lib base kenv d (usedBy c) s
partial def axNames (lib base : Environment) (kenv : Kernel.Environment) (d : Decls) : List Name → AxState → AxState
  | [], s => s
  | n :: r, s => axNames lib base kenv d r (axName lib base kenv d n s)
end

partial def notAllowed (allowed : List String) : List Name → List String
  | [] => []
  | a :: t => if mem (nstr a) allowed then notAllowed allowed t else nstr a :: notAllowed allowed t

structure Declared where
  js  : Array Json := #[]
  bad : List String := []

partial def declared (lib base : Environment) (kenv : Kernel.Environment) (d : Decls) (allowed : List String) : List Name → Declared → Declared
  | [], r => r
  | n :: t, r =>
    match d.find? n with
    | none => declared lib base kenv d allowed t r
    | some c =>
      let ax := (axName lib base kenv d n {}).axs
      let r := match notAllowed allowed ax with
        | [] => r
        | b => { r with bad := s!"{nstr n} uses {String.intercalate ", " b}" :: r.bad }
      let r := if n.isInternalDetail || r.js.size > 200 then r else
        { r with js := r.js.push (Json.mkObj [("name", .str (nstr n)), ("kind", .str (kindOf c)), ("axioms", .arr (jstrs (names ax) #[]))]) }
      declared lib base kenv d allowed t r
where names : List Name → List String
  | [] => []
  | n :: r => nstr n :: names r

/-! ### the kernel checks every declaration again, on top of the header's environment -/

structure Replay where
  kenv : Kernel.Environment
  done : NameSet := {}
  bad  : List String := []

partial def inductives (d : Decls) : List Name → List (InductiveVal × List ConstantInfo) → List (InductiveVal × List ConstantInfo)
  | [], a => a
  | n :: r, a =>
    match d.find? n with
    | some (.inductInfo v) => inductives d r ((v, ctors v.ctors) :: a)
    | _ => inductives d r a
where ctors : List Name → List ConstantInfo
  | [] => []
  | c :: t => match d.find? c with | some ci => ci :: ctors t | none => ctors t

partial def types : List (InductiveVal × List ConstantInfo) → List InductiveType → List InductiveType
  | [], a => a
  | (v, cs) :: r, a => types r ({ name := v.name, type := v.type, ctors := ctors cs } :: a)
where ctors : List ConstantInfo → List Constructor
  | [] => []
  | c :: t => { name := c.name, type := c.type } :: ctors t

def addKernel (tk : Option IO.CancelToken) (d : Declaration) (n : Name) (s : Replay) : IO Replay :=
  match s.kenv.addDecl {} d tk with
  | .ok e => return { s with kenv := e }
  | .error ex => do
    let t ← (ex.toMessageData {}).toString
    return { s with bad := s!"{nstr n}: {clip t 500}" :: s.bad }

mutual
partial def replayName (tk : Option IO.CancelToken) (d : Decls) (n : Name) (s : Replay) : IO Replay := do
  if s.done.contains n then return s
  match d.find? n with
  | none => return s
  | some c =>
    let s := { s with done := s.done.insert n }
    if c.isUnsafe then return s
    if c.isPartial then return s
    let s ← replayNames tk d c.type.getUsedConstants.toList s
    let s ← match valueOf? c with | some v => replayNames tk d v.getUsedConstants.toList s | none => pure s
    match c with
    | .defnInfo v => addKernel tk (.defnDecl v) n s
    | .thmInfo v => addKernel tk (.thmDecl v) n s
    | .axiomInfo v => addKernel tk (.axiomDecl v) n s
    | .opaqueInfo v => addKernel tk (.opaqueDecl v) n s
    | .inductInfo v =>
      let group := inductives d v.all []
      let s ← markAll tk d group s
      addKernel tk (.inductDecl c.levelParams v.numParams (types group []) false) n s
    | .ctorInfo v => replayName tk d v.induct s
    | .recInfo v => replayNames tk d v.all s
    | .quotInfo _ => return { s with bad := s!"{nstr n}: a second quotient" :: s.bad }
partial def markAll (tk : Option IO.CancelToken) (d : Decls) : List (InductiveVal × List ConstantInfo) → Replay → IO Replay
  | [], s => return s
  | (i, cs) :: r, s => do
    let s := { s with done := s.done.insert i.name }
    let s ← replayNames tk d i.type.getUsedConstants.toList s
    let s ← markCtors tk d cs s
    markAll tk d r s
partial def markCtors (tk : Option IO.CancelToken) (d : Decls) : List ConstantInfo → Replay → IO Replay
  | [], s => return s
  | c :: t, s => do
    let s := { s with done := s.done.insert c.name }
    let s ← replayNames tk d c.type.getUsedConstants.toList s
    markCtors tk d t s
partial def replayNames (tk : Option IO.CancelToken) (d : Decls) : List Name → Replay → IO Replay
  | [], s => return s
  | n :: r, s => do replayNames tk d r (← replayName tk d n s)
end

partial def strip : Expr → Expr
  | .mdata _ e => strip e
  | .app f a => .app (strip f) (strip a)
  | .lam n t b i => .lam n (strip t) (strip b) i
  | .forallE n t b i => .forallE n (strip t) (strip b) i
  | .letE n t v b k => .letE n (strip t) (strip v) (strip b) k
  | .proj n i e => .proj n i (strip e)
  | e => e

def sameExpr (a b : Expr) : Bool := if a == b then true else strip a == strip b

partial def sameNames : List Name → List Name → Bool
  | [], [] => true
  | a :: r, b :: t => if a == b then sameNames r t else false
  | _, _ => false

partial def sameRules : List RecursorRule → List RecursorRule → Bool
  | [], [] => true
  | a :: r, b :: t => if a.ctor == b.ctor && a.nfields == b.nfields && sameExpr a.rhs b.rhs then sameRules r t else false
  | _, _ => false

/-- why two constants differ in what the kernel sees of them -/
def difference (want got : ConstantInfo) (values : Bool) : Option String :=
  if kindOf want != kindOf got then some s!"is a {kindOf got}, not a {kindOf want}"
  else if want.isUnsafe != got.isUnsafe || want.isPartial != got.isPartial then some "is unsafe or partial"
  else if !(sameNames want.levelParams got.levelParams) then some "has other universe parameters"
  else if !(sameExpr want.type got.type) then some "has another type"
  else match want, got with
    | .inductInfo a, .inductInfo b =>
      if a.numParams == b.numParams && a.numIndices == b.numIndices && sameNames a.all b.all && sameNames a.ctors b.ctors then none
      else some "is another inductive type"
    | .ctorInfo a, .ctorInfo b =>
      if a.induct == b.induct && a.cidx == b.cidx && a.numParams == b.numParams && a.numFields == b.numFields then none
      else some "is another constructor"
    | .recInfo a, .recInfo b => if a.k == b.k && sameNames a.all b.all && sameRules a.rules b.rules then none else some "is another recursor"
    | .thmInfo _, .thmInfo _ => none
    | _, _ => if !values then none else match valueOf? want, valueOf? got with
      | some a, some b => if sameExpr a b then none else some "has another definition"
      | _, _ => none

/-- what the kernel made of each declaration must be what the submission's environment says of it -/
partial def compareAll (d : Decls) : List Name → Replay → Replay
  | [], s => s
  | n :: r, s =>
    match d.find? n with
    | none => compareAll d r s
    | some c =>
      if c.isUnsafe || c.isPartial then compareAll d r s else
      match s.kenv.find? n with
      | none => compareAll d r { s with bad := s!"{nstr n}: was not rebuilt" :: s.bad }
      | some c' => match difference c' c true with
        | none => compareAll d r s
        | some why => compareAll d r { s with bad := s!"{nstr n}: {why}" :: s.bad }

/-! ### the statement: the submission's constant against the reference's, with all that its type refers to -/

structure Pin where
  seen : NameSet := {}
  bad  : List String := []

mutual
partial def pinName (base : Environment) (ref : Decls) (kenv : Kernel.Environment) (target : Name) (n : Name) (s : Pin) : Pin :=
  if s.seen.contains n then s else
  let s := { s with seen := s.seen.insert n }
  match ref.find? n with
  | none => s
  | some want =>
    if base.contains n then s else
    match kenv.find? n with
    | none => { s with bad := s!"{nstr n}: is not there" :: s.bad }
    | some got =>
      let s := match difference want got true with
        | some why => { s with bad := s!"{nstr n}: {why}" :: s.bad }
        | none => s
      if n == target then pinNames base ref kenv target want.type.getUsedConstants.toList s
      else match want with
        | .thmInfo _ => pinNames base ref kenv target want.type.getUsedConstants.toList s
        | _ => pinNames base ref kenv target (usedBy want) s
partial def pinNames (base : Environment) (ref : Decls) (kenv : Kernel.Environment) (target : Name) : List Name → Pin → Pin
  | [], s => s
  | n :: r, s => pinNames base ref kenv target r (pinName base ref kenv target n s)
end

/-! ### elaboration, command by command, without threads or snapshots -/

structure Out where
  cs      : Command.State
  msgs    : List Message := []
  blocked : Option (String × Position) := none
  stopped : Option String := none
  goals   : Option (Position × String) := none
  count   : Nat := 0

partial def appM : List Message → List Message → List Message
  | [], b => b
  | a :: r, b => appM r (a :: b)

partial def hasErr : List Message → Bool
  | [] => false
  | m :: r => match m.severity with | .error => true | _ => hasErr r

partial def lastErr : List Message → Option Message → Option Message
  | [], a => a
  | m :: r, a => match m.severity with | .error => lastErr r (some m) | _ => lastErr r a

/-! #### the goals where the first error is -/

structure Found where
  ctx  : ContextInfo
  info : TacticInfo
  size : Nat

mutual
/-- the smallest tactic whose syntax covers the position -/
partial def tacticAt (pos : String.Pos.Raw) (ctx? : Option ContextInfo) (best : Option Found) : InfoTree → Option Found
  | .context i t => tacticAt pos (i.mergeIntoOuter? ctx?) best t
  | .hole _ => best
  | .node i children =>
    let best := match i, ctx? with
      | .ofTacticInfo ti, some ctx =>
        match ti.stx.getPos?, ti.stx.getTailPos? with
        | some a, some b =>
          if a.byteIdx ≤ pos.byteIdx && pos.byteIdx < b.byteIdx + 1 then
            let size := b.byteIdx - a.byteIdx
            match best with
            | some f => if size ≤ f.size then some { ctx, info := ti, size } else best
            | none => some { ctx, info := ti, size }
          else best
        | _, _ => best
      | _, _ => best
    nodeAt pos ctx? (arrayAt pos ctx? best children.tail 0) children.root
partial def arrayAt (pos : String.Pos.Raw) (ctx? : Option ContextInfo) (best : Option Found) (a : Array InfoTree) (i : Nat) : Option Found :=
  match a[i]? with
  | none => best
  | some t => arrayAt pos ctx? (tacticAt pos ctx? best t) a (i+1)
partial def nodeAt (pos : String.Pos.Raw) (ctx? : Option ContextInfo) (best : Option Found) : PersistentArrayNode InfoTree → Option Found
  | .leaf a => arrayAt pos ctx? best a 0
  | .node a => nodesAt pos ctx? best a 0
partial def nodesAt (pos : String.Pos.Raw) (ctx? : Option ContextInfo) (best : Option Found) (a : Array (PersistentArrayNode InfoTree)) (i : Nat) : Option Found :=
  match a[i]? with
  | none => best
  | some n => nodesAt pos ctx? (nodeAt pos ctx? best n) a (i+1)
end

def goalsAt (file : FileMap) (trees : PersistentArray InfoTree) (m : Message) : IO (Option (Position × String)) := do
  let pos := file.ofPosition m.pos
  match nodeAt pos none (arrayAt pos none none trees.tail 0) trees.root with
  | none => return some (m.pos, "")
  | some f =>
    match f.info.goalsBefore with
    | [] => return some (m.pos, "")
    | _ =>
    let ctx := { f.ctx with mctx := f.info.mctxBefore }
    let gs ← try (do let f ← ctx.ppGoals f.info.goalsBefore; pure (clip f.pretty)) catch _ => pure ""
    return some (m.pos, gs)

/-- linters only say what reads badly, and cost a fifth of the time -/
def mkOpts (hb : Nat) : Options :=
  ((({} : Options).setNat `maxHeartbeats hb).setBool `Elab.async false).setBool `linter.all false

partial def elabGo (ictx : Parser.InputContext) (policy : Policy) (tk : Option IO.CancelToken) (ps : Parser.ModuleParserState) (o : Out) : IO Out := do
  match o.cs.scopes with
  | [] => return o
  | scope :: _ =>
    let pm : Parser.ParserModuleContext :=
      { env := o.cs.env, options := scope.opts, currNamespace := scope.currNamespace, openDecls := scope.openDecls }
    let (stx, ps', msgs) := Parser.parseCommand ictx pm ps {}
    let o := { o with msgs := appM msgs.toList o.msgs }
    if Parser.isTerminalCommand stx then
      if stx.isOfKind ``Parser.Command.eoi then return o
      else return { o with stopped := some (nstr stx.getKind) }
    let at' (s : Syntax) : Position := ictx.fileMap.toPosition (match s.getPos? with | some p => p | none => ps.pos)
    match forbidden policy stx with
    | some (what, s) =>
      if hasErr msgs.toList then return { o with stopped := some "parse error" }  -- what cannot be read is an error, not a breach
      else return { o with blocked := some (what, at' s) }
    | none =>
      let ctx : Command.Context := { cmdPos := ps.pos, fileName := "<input>", fileMap := ictx.fileMap, snap? := none, cancelTk? := tk }
      let r ← EIO.toIO' ((Command.elabCommandTopLevel stx ctx).run { o.cs with messages := {}, infoState := { enabled := policy.info } })
      match r with
      | .ok (_, cs') =>
        let made := cs'.messages.toList
        let goals ← match o.goals with
          | some g => pure (some g)
          | none => match lastErr (appM made []) none with
            | none => pure none
            | some m => goalsAt ictx.fileMap cs'.infoState.trees m
        let o := { o with cs := { cs' with infoState := {}, traceState := {} }, msgs := appM made o.msgs, goals, count := o.count + 1 }
        if (← cancelled tk) then return { o with stopped := some "time" } else elabGo ictx policy tk ps' o
      | .error e =>
        if (← cancelled tk) then return { o with stopped := some "time" }
        else return { o with stopped := some (clip (← e.toMessageData.toString) 500) }
where cancelled (tk : Option IO.CancelToken) : IO Bool := do
  match tk with
  | none => return false
  | some t => t.isSet

def fileOf (src : String) : Parser.InputContext :=
  { inputString := src, fileName := "<input>", fileMap := src.toFileMap, endPos := src.rawEndPos, endPos_valid := by simp }

def elabFrom (cs : Command.State) (src : String) (policy : Policy) (tk : Option IO.CancelToken) : IO Out :=
  elabGo (fileOf src) policy tk {} { cs := { cs with messages := {} } }

/-- no code is made for definitions, so that nothing of a submission can run -/
def clean (env : Environment) (hb : Nat) : Command.State :=
  let cs := Command.mkState env {} (mkOpts hb)
  match cs.scopes with
  | sc :: r => { cs with scopes := { sc with isNoncomputable := true } :: r }
  | [] => cs

def sevStr : MessageSeverity → String
  | .error => "error" | .warning => "warning" | .information => "info"

/-- at most 20 messages, errors first come first -/
partial def messagesJson : List Message → Array Json → IO (Array Json)
  | [], a => return a
  | m :: r, a => do
    if a.size ≥ 20 then return a
    let t ← m.data.toString
    messagesJson r (a.push (Json.mkObj
      [("severity", .str (sevStr m.severity)), ("line", .num m.pos.line), ("column", .num m.pos.column), ("text", .str (clip t 2000))]))

/-! ### the server's state: headers and references are made once -/

structure Header where
  key  : String
  base : Environment
  cs   : Command.State

structure Reference where
  key    : String
  target : Name
  info   : ConstantInfo
  /-- how many binders stand before the colon, variables and automatic ones included -/
  binders : Nat
  fresh  : Decls
  all    : Decls

structure TacState where
  coreC  : Core.Context
  core   : Core.State
  mst    : Meta.State
  mctx   : Meta.Context
  term   : Term.State
  termC  : Term.Context
  tac    : Tactic.State
  tacC   : Tactic.Context
  root   : Expr
  name   : Name
  type   : Expr
  lvls   : List Name

structure St where
  out     : IO.FS.Stream
  current : IO.Ref (Option (IO.CancelToken × Nat))
  policy  : Policy := {}
  imports : List (String × Environment) := []
  headers : List Header := []
  refs    : List Reference := []
  tacs    : List (Nat × TacState) := []
  next    : Nat := 0

abbrev M := StateRefT St IO

partial def firstEnvs : Nat → List (String × Environment) → List (String × Environment)
  | 0, _ => []
  | _, [] => []
  | n+1, x :: r => x :: firstEnvs n r

partial def firstHeaders : Nat → List Header → List Header
  | 0, _ => []
  | _, [] => []
  | n+1, x :: r => x :: firstHeaders n r

partial def firstRefs : Nat → List Reference → List Reference
  | 0, _ => []
  | _, [] => []
  | n+1, x :: r => x :: firstRefs n r

partial def firstTacs : Nat → List (Nat × TacState) → List (Nat × TacState)
  | 0, _ => []
  | _, [] => []
  | n+1, x :: r => x :: firstTacs n r


def emit (nonce : String) (j : Json) : M Unit := do
  let out := (← get).out
  out.putStr ("@@" ++ nonce ++ " " ++ j.compress ++ "\n")
  out.flush

partial def envOf (k : String) : List (String × Environment) → Option Environment
  | [] => none
  | (a, e) :: r => if a = k then some e else envOf k r

partial def headerOf (k : String) : List Header → Option Header
  | [] => none
  | h :: r => if h.key = k then some h else headerOf k r

partial def refOf (k : String) : List Reference → Option Reference
  | [] => none
  | h :: r => if h.key = k then some h else refOf k r

partial def toImports : List String → Array Import → Array Import
  | [], a => a
  | m :: r, a => toImports r (a.push { module := m.toName })

def importsOf (mods : List String) : M Environment := do
  let key := String.intercalate "," mods
  match envOf key (← get).imports with
  | some e => return e
  | none =>
    -- at the private level, or names of the submission turn private
    let lvl := OLeanLevel.private
    let env ← importModules (toImports mods #[]) {} (trustLevel := 0) (loadExts := true) (level := lvl)
    modify fun s => { s with imports := (key, env) :: firstEnvs 3 s.imports }
    return env

def tryImports (mods : List String) : M (Except String Environment) := do
  try
    let env ← importsOf mods
    return .ok env
  catch e => return .error s!"it has no such module: {clip (toString e) 300}"

def getHeader (j : Json) (tk : Option IO.CancelToken) : M (Except String Header) := do
  let mods := strs "imports" j
  let src := str "header" j
  let hb := nat "maxHeartbeats" j 200000
  let key := s!"{hb} {String.intercalate "," mods}\n{src}"
  match headerOf key (← get).headers with
  | some h => return .ok h
  | none =>
    match (← tryImports mods) with
    | .error e => return .error e
    | .ok base =>
    let cs := clean base hb
    if src.isEmpty then
      let h : Header := { key, base, cs }
      modify fun s => { s with headers := h :: firstHeaders 7 s.headers }
      return .ok h
    let o ← elabFrom cs src { any := true } tk
    match o.stopped with
    | some why => return .error s!"the header stops: {why}"
    | none =>
      match lastErr o.msgs none with
      | some m => return .error s!"the header does not elaborate: {clip (← m.data.toString) 500}"
      | none =>
        let h : Header := { key, base, cs := o.cs }
        modify fun s => { s with headers := h :: firstHeaders 7 s.headers }
        return .ok h

partial def theorems (d : Decls) : List Name → List Name → List Name
  | [], a => a
  | n :: r, a => match d.find? n with
    | some (.thmInfo _) => if n.isInternalDetail then theorems d r a else theorems d r (n :: a)
    | _ => theorems d r a

partial def lambdas : Option Expr → Nat
  | some (.lam _ _ b _) => lambdas (some b) + 1
  | some (.mdata _ e) => lambdas (some e)
  | _ => 0

def getReference (h : Header) (j : Json) (tk : Option IO.CancelToken) : M (Except String Reference) := do
  let stmt := str "statement" j
  let key := h.key ++ "\n\n" ++ stmt
  match refOf key (← get).refs with
  | some r => return .ok r
  | none =>
    let o ← elabFrom h.cs (stmt ++ "\n:= sorry") { any := true } tk
    match o.stopped, lastErr o.msgs none with
    | some why, _ => return .error s!"the statement stops: {why}"
    | _, some m => return .error s!"the statement does not elaborate: {clip (← m.data.toString) 500}"
    | none, none =>
      let fresh := newDecls h.cs.env o.cs.env
      match theorems fresh fresh.names [] with
      | [n] => match fresh.find? n with
        | some info =>
          let r : Reference := { key, target := n, info, binders := lambdas (valueOf? info), fresh, all := newDecls h.base o.cs.env }
          modify fun s => { s with refs := r :: firstRefs 15 s.refs }
          return .ok r
        | none => return .error "the statement declares nothing"
      | [] => return .error "the statement declares no theorem"
      | _ => return .error "the statement declares several theorems"

/-! ### check -/

/-- axioms, statement and kernel replay of declarations on top of `base`; `ref` holds what the statement's constants must be -/
def judge (lib base : Environment) (r : Reference) (whole : Bool) (d : Decls) (allowed : List String) (compare : Bool) (tk : Option IO.CancelToken) :
    IO (Declared × List String × List String × Nat) := do
  let t0 ← IO.monoMsNow
  let s ← replayNames tk d d.names { kenv := base.toKernelEnv }
  let s := if compare then compareAll d d.names s else s
  let ref := if whole then r.all else r.fresh
  let dec := declared lib base s.kenv d allowed d.names {}
  let pin := pinName base ref s.kenv r.target r.target {}
  let t1 ← IO.monoMsNow
  return (dec, pin.bad, s.bad, t1 - t0)

def posJson (p : Position) : List (String × Json) := [("line", .num p.line), ("column", .num p.column)]

/-! #### a certificate: the declarations as data, for another process -/

structure Exp where
  names  : Array Json := #[]
  levels : Array Json := #[]
  exprs  : Array Json := #[]
  ntab   : Array (List (Name × Nat)) := Array.replicate 512 []
  ltab   : Array (List (Level × Nat)) := Array.replicate 64 []
  etab   : Array (List (Expr × Nat)) := Array.replicate 8192 []

partial def findN (n : Name) : List (Name × Nat) → Option Nat
  | [] => none
  | (m, i) :: r => if m == n then some i else findN n r
partial def findL (n : Level) : List (Level × Nat) → Option Nat
  | [] => none
  | (m, i) :: r => if m == n then some i else findL n r
partial def findE (n : Expr) : List (Expr × Nat) → Option Nat
  | [] => none
  | (m, i) :: r => if m == n then some i else findE n r

def bucketN (a : Array (List (Name × Nat))) (i : Nat) : List (Name × Nat) := match a[i]? with | some l => l | none => []
def bucketL (a : Array (List (Level × Nat))) (i : Nat) : List (Level × Nat) := match a[i]? with | some l => l | none => []
def bucketE (a : Array (List (Expr × Nat))) (i : Nat) : List (Expr × Nat) := match a[i]? with | some l => l | none => []

partial def pushAll (a b : Array Json) (i : Nat) : Array Json :=
  match b[i]? with | none => a | some v => pushAll (a.push v) b (i+1)

def row (tag : String) (a : Array Json) : Json := .arr (pushAll #[Json.str tag] a 0)

/-- 0 is the anonymous name -/
partial def expName (n : Name) (s : Exp) : Nat × Exp :=
  match n with
  | .anonymous => (0, s)
  | _ =>
    let i := n.hash.toNat % s.ntab.size
    match findN n (bucketN s.ntab i) with
    | some k => (k, s)
    | none =>
      let (v, s) := match n with
        | .str p t => let (k, s) := expName p s; (Json.arr #[.num k, .str t], s)
        | .num p t => let (k, s) := expName p s; (Json.arr #[.num k, .num t], s)
        | .anonymous => (.null, s)
      let k := s.names.size + 1
      (k, { s with names := s.names.push v, ntab := s.ntab.set! i ((n, k) :: bucketN s.ntab i) })

partial def expNames : List Name → Array Json → Exp → Array Json × Exp
  | [], a, s => (a, s)
  | n :: r, a, s => let (k, s) := expName n s; expNames r (a.push (.num k)) s

/-- 0 is level zero -/
partial def expLevel (l : Level) (s : Exp) : Nat × Exp :=
  match l with
  | .zero => (0, s)
  | _ =>
    let i := l.hash.toNat % s.ltab.size
    match findL l (bucketL s.ltab i) with
    | some k => (k, s)
    | none =>
      let (v, s) := match l with
        | .succ a => let (k, s) := expLevel a s; (row "s" #[.num k], s)
        | .max a b => let (k, s) := expLevel a s; let (m, s) := expLevel b s; (row "m" #[.num k, .num m], s)
        | .imax a b => let (k, s) := expLevel a s; let (m, s) := expLevel b s; (row "i" #[.num k, .num m], s)
        | .param n => let (k, s) := expName n s; (row "p" #[.num k], s)
        | _ => (row "?" #[], s)
      let k := s.levels.size + 1
      (k, { s with levels := s.levels.push v, ltab := s.ltab.set! i ((l, k) :: bucketL s.ltab i) })

partial def expLevels : List Level → Array Json → Exp → Array Json × Exp
  | [], a, s => (a, s)
  | l :: r, a, s => let (k, s) := expLevel l s; expLevels r (a.push (.num k)) s

def binderNum : BinderInfo → Nat
  | .default => 0 | .implicit => 1 | .strictImplicit => 2 | .instImplicit => 3

partial def expExpr (e : Expr) (s : Exp) : Nat × Exp :=
  match e with
  | .mdata _ e => expExpr e s
  | _ =>
    let i := e.hash.toNat % s.etab.size
    match findE e (bucketE s.etab i) with
    | some k => (k, s)
    | none =>
      let (v, s) := match e with
        | .bvar k => (row "b" #[.num k], s)
        | .sort l => let (k, s) := expLevel l s; (row "s" #[.num k], s)
        | .const n ls => let (k, s) := expName n s; let (a, s) := expLevels ls #[] s; (row "c" (pushAll #[Json.num k] a 0), s)
        | .app f a => let (k, s) := expExpr f s; let (m, s) := expExpr a s; (row "a" #[.num k, .num m], s)
        | .lam n t b i => let (q, s) := expName n s; let (k, s) := expExpr t s; let (m, s) := expExpr b s; (row "l" #[.num q, .num (binderNum i), .num k, .num m], s)
        | .forallE n t b i => let (q, s) := expName n s; let (k, s) := expExpr t s; let (m, s) := expExpr b s; (row "p" #[.num q, .num (binderNum i), .num k, .num m], s)
        | .letE n t v b _ => let (q, s) := expName n s; let (k, s) := expExpr t s; let (m, s) := expExpr v s; let (o, s) := expExpr b s; (row "e" #[.num q, .num k, .num m, .num o], s)
        | .lit (.natVal n) => (row "n" #[.str (Nat.repr n)], s)
        | .lit (.strVal t) => (row "t" #[.str t], s)
        | .proj n i e => let (q, s) := expName n s; let (k, s) := expExpr e s; (row "j" #[.num q, .num i, .num k], s)
        | _ => (row "?" #[], s)
      let k := s.exprs.size
      (k, { s with exprs := s.exprs.push v, etab := s.etab.set! i ((e, k) :: bucketE s.etab i) })

def hintNum : ReducibilityHints → Nat
  | .opaque => 0 | .abbrev => 1 | .regular h => h.toNat + 2

partial def expCtors (d : Decls) : List Name → Array Json → Exp → Array Json × Exp
  | [], a, s => (a, s)
  | n :: r, a, s =>
    let (k, s) := expName n s
    let (t, s) := match d.find? n with | some c => let (t, s) := expExpr c.type s; (Json.num t, s) | none => (.null, s)
    expCtors d r (a.push (.arr #[.num k, t])) s

partial def expDecls (d : Decls) : List Name → Array Json → Exp → Array Json × Exp
  | [], a, s => (a, s)
  | n :: r, a, s =>
    match d.find? n with
    | none => expDecls d r a s
    | some c =>
      if c.isUnsafe || c.isPartial then expDecls d r a s else
      match c with
      | .ctorInfo _ => expDecls d r a s
      | .recInfo _ => expDecls d r a s
      | _ =>
        let (k, s) := expName n s
        let (ls, s) := expNames c.levelParams #[] s
        let (t, s) := expExpr c.type s
        let (extra, s) := match c with
          | .defnInfo v => let (q, s) := expExpr v.value s; ([("v", Json.num q), ("h", .num (hintNum v.hints))], s)
          | .thmInfo v => let (q, s) := expExpr v.value s; ([("v", Json.num q)], s)
          | .opaqueInfo v => let (q, s) := expExpr v.value s; ([("v", Json.num q)], s)
          | .inductInfo v =>
            let (al, s) := expNames v.all #[] s
            let (cs, s) := expCtors d v.ctors #[] s
            ([("p", Json.num v.numParams), ("a", .arr al), ("c", .arr cs)], s)
          | _ => ([], s)
        expDecls d r (a.push (Json.mkObj (("k", .str (kindOf c)) :: ("n", .num k) :: ("l", .arr ls) :: ("t", .num t) :: extra))) s

def certificate (d : Decls) : Json :=
  let (ds, s) := expDecls d d.names #[] {}
  Json.mkObj [("names", .arr s.names), ("levels", .arr s.levels), ("exprs", .arr s.exprs), ("decls", .arr ds)]

/-! #### the same, read back -/

partial def readNames (js : Array Json) (i : Nat) (a : Array Name) : Array Name :=
  match js[i]? with
  | none => a
  | some j =>
    let r := arrOf j
    let p := match a[asNat (item r 0)]? with | some n => n | none => .anonymous
    readNames js (i+1) (a.push (match item r 1 with | .str t => .str p t | v => .num p (asNat v)))

def nameAt (a : Array Name) (j : Json) : Name := match a[asNat j]? with | some n => n | none => .anonymous

partial def namesAt (a : Array Name) (js : Array Json) (i : Nat) : List Name :=
  match js[i]? with | none => [] | some j => nameAt a j :: namesAt a js (i+1)

def levelAt (a : Array Level) (j : Json) : Level := match a[asNat j]? with | some n => n | none => .zero

partial def readLevels (ns : Array Name) (js : Array Json) (i : Nat) (a : Array Level) : Array Level :=
  match js[i]? with
  | none => a
  | some j =>
    let r := arrOf j
    let l : Level := match item r 0 with
      | .str "s" => .succ (levelAt a (item r 1))
      | .str "m" => .max (levelAt a (item r 1)) (levelAt a (item r 2))
      | .str "i" => .imax (levelAt a (item r 1)) (levelAt a (item r 2))
      | .str "p" => .param (nameAt ns (item r 1))
      | _ => .zero
    readLevels ns js (i+1) (a.push l)

partial def levelsFrom (ls : Array Level) (js : Array Json) (i : Nat) : List Level :=
  match js[i]? with | none => [] | some j => levelAt ls j :: levelsFrom ls js (i+1)

def exprAt (a : Array Expr) (j : Json) : Expr := match a[asNat j]? with | some e => e | none => .bvar 0

def binderAt (j : Json) : BinderInfo :=
  match asNat j with | 1 => .implicit | 2 => .strictImplicit | 3 => .instImplicit | _ => .default

def strAt (j : Json) : String := match j with | .str s => s | _ => ""

partial def readExprs (ns : Array Name) (ls : Array Level) (js : Array Json) (i : Nat) (a : Array Expr) : Array Expr :=
  match js[i]? with
  | none => a
  | some j =>
    let r := arrOf j
    let e : Expr := match item r 0 with
      | .str "b" => .bvar (asNat (item r 1))
      | .str "s" => .sort (levelAt ls (item r 1))
      | .str "c" => .const (nameAt ns (item r 1)) (levelsFrom ls r 2)
      | .str "a" => .app (exprAt a (item r 1)) (exprAt a (item r 2))
      | .str "l" => .lam (nameAt ns (item r 1)) (exprAt a (item r 3)) (exprAt a (item r 4)) (binderAt (item r 2))
      | .str "p" => .forallE (nameAt ns (item r 1)) (exprAt a (item r 3)) (exprAt a (item r 4)) (binderAt (item r 2))
      | .str "e" => .letE (nameAt ns (item r 1)) (exprAt a (item r 2)) (exprAt a (item r 3)) (exprAt a (item r 4)) false
      | .str "n" => .lit (.natVal (strAt (item r 1)).toNat!)
      | .str "t" => .lit (.strVal (strAt (item r 1)))
      | .str "j" => .proj (nameAt ns (item r 1)) (asNat (item r 2)) (exprAt a (item r 3))
      | _ => .bvar 0
    readExprs ns ls js (i+1) (a.push e)

partial def readCtors (ns : Array Name) (es : Array Expr) (induct : Name) (lvls : List Name) (params : Nat) (js : Array Json) (i : Nat) (d : Decls) : Decls :=
  match js[i]? with
  | none => d
  | some j =>
    let r := arrOf j
    let n := nameAt ns (item r 0)
    let c : ConstructorVal := { name := n, levelParams := lvls, type := exprAt es (item r 1), induct, cidx := i, numParams := params, numFields := 0, isUnsafe := false }
    readCtors ns es induct lvls params js (i+1) (d.add n (.ctorInfo c))

partial def ctorNames (ns : Array Name) (js : Array Json) (i : Nat) : List Name :=
  match js[i]? with | none => [] | some j => nameAt ns (item (arrOf j) 0) :: ctorNames ns js (i+1)

def hintAt (j : Json) : ReducibilityHints :=
  match asNat j with | 0 => .opaque | 1 => .abbrev | n + 2 => .regular n.toUInt32

partial def readDecls (ns : Array Name) (es : Array Expr) (js : Array Json) (i : Nat) (d : Decls) : Decls :=
  match js[i]? with
  | none => d
  | some j =>
    let get (k : String) : Json := match j.getObjVal? k with | .ok v => v | _ => .null
    let n := nameAt ns (get "n")
    let lvls := namesAt ns (arr "l" j) 0
    let cv : ConstantVal := { name := n, levelParams := lvls, type := exprAt es (get "t") }
    let v := exprAt es (get "v")
    let d := match str "k" j with
      | "theorem" => d.add n (.thmInfo { toConstantVal := cv, value := v, all := [n] })
      | "def" => d.add n (.defnInfo { toConstantVal := cv, value := v, hints := hintAt (get "h"), safety := .safe, all := [n] })
      | "opaque" => d.add n (.opaqueInfo { toConstantVal := cv, value := v, isUnsafe := false, all := [n] })
      | "axiom" => d.add n (.axiomInfo { toConstantVal := cv, isUnsafe := false })
      | "inductive" =>
        let cs := arr "c" j
        let p := nat "p" j
        let d := d.add n (.inductInfo { toConstantVal := cv, numParams := p, numIndices := 0, all := namesAt ns (arr "a" j) 0, ctors := ctorNames ns cs 0, numNested := 0, isRec := false, isUnsafe := false, isReflexive := false })
        readCtors ns es n lvls p cs 0 d
      | _ => d
    readDecls ns es js (i+1) d

def readCertificate (j : Json) : Decls :=
  let ns := readNames (arr "names" j) 0 #[.anonymous]
  let ls := readLevels ns (arr "levels" j) 0 #[.zero]
  let es := readExprs ns ls (arr "exprs" j) 0 #[]
  readDecls ns es (arr "decls" j) 0 {}

/-! #### the two commands -/

def errs (key : String) (l : List String) : String × Json := (key, .arr (jstrs (firstStrs 20 l) #[]))

def doCheck (j : Json) (tk : Option IO.CancelToken) : M Json := do
  let t0 ← IO.monoMsNow
  match (← getHeader j tk) with
  | .error e => return Json.mkObj [("problem", .str e)]
  | .ok h =>
  match (← getReference h j tk) with
  | .error e => return Json.mkObj [("problem", .str e)]
  | .ok r =>
  let t1 ← IO.monoMsNow
  let whole := flag "whole" j
  let start := if whole then clean h.base (nat "maxHeartbeats" j 200000) else h.cs
  let o ← elabFrom start (str "source" j) (← get).policy tk
  let t2 ← IO.monoMsNow
  let msgs ← messagesJson (appM o.msgs []) #[]
  let wrong := hasErr o.msgs
  let d := newDecls start.env o.cs.env
  let sound := !wrong && o.blocked.isNone && o.stopped.isNone
  let (dec, pin, rep, ms) ← if sound then judge h.base start.env r whole d (strs "axioms" j) true tk
    else pure (declared h.base start.env start.env.toKernelEnv d (strs "axioms" j) d.names {}, ["not checked"], ["not checked"], 0)
  let rest := match o.blocked with
    | some (what, p) => [("blocked", Json.mkObj (("what", .str what) :: posJson p))]
    | none => []
  let rest := match o.stopped with | some why => ("stopped", .str why) :: rest | none => rest
  let rest := match o.goals with
    | some (p, gs) => ("first_error", Json.mkObj (("goals", .str gs) :: posJson p)) :: rest
    | none => rest
  let rest := if sound && flag "certificate" j then ("certificate", certificate d) :: rest else rest
  return Json.mkObj (("errors", jbool wrong) :: ("target", .str (nstr r.target)) :: ("messages", .arr msgs) :: ("declared", .arr dec.js)
    :: ("commands", .num o.count) :: errs "axioms" dec.bad :: errs "statement" pin :: errs "replay" rep
    :: ("ms", .arr #[.num (t1-t0), .num (t2-t1), .num ms]) :: rest)

/-- judge a certificate that another process made: no source is read -/
def doReplay (j : Json) (tk : Option IO.CancelToken) : M Json := do
  match (← getHeader j tk) with
  | .error e => return Json.mkObj [("problem", .str e)]
  | .ok h =>
  match (← getReference h j tk) with
  | .error e => return Json.mkObj [("problem", .str e)]
  | .ok r =>
  let whole := flag "whole" j
  let base := if whole then h.base else h.cs.env
  let d := readCertificate (match j.getObjVal? "certificate" with | .ok v => v | _ => .null)
  let (dec, pin, rep, ms) ← judge h.base base r whole d (strs "axioms" j) false tk
  return Json.mkObj [("target", .str (nstr r.target)), ("declared", .arr dec.js), errs "axioms" dec.bad, errs "statement" pin, errs "replay" rep, ("ms", .num ms)]

/-! ### tactics, one at a time -/

def err (s : String) : Json := Json.mkObj [("ok", jbool false), ("error", .str (clip s))]

def runM {α} (ts : TacState) (x : Tactic.TacticM α) (hb : Nat) (tk : Option IO.CancelToken) : IO (Except String (α × TacState)) := do
  let h ← IO.getNumHeartbeats
  let coreC := { ts.coreC with initHeartbeats := h, maxHeartbeats := hb * 1000, cancelTk? := tk }
  let c0 := { ts.core with messages := {}, infoState := {} }
  let act := ((((x ts.tacC).run ts.tac) ts.termC).run ts.term ts.mctx).run ts.mst
  let r ← EIO.toIO' ((act coreC).run c0)
  match r with
  | .ok ((((a, tac), term), mst), core) => return .ok (a, { ts with tac, term, mst, core })
  | .error e => return .error (← e.toMessageData.toString)

partial def goalsGo : List MVarId → Array Json → MetaM (Array Json)
  | [], a => return a
  | g :: r, a => do
    let f ← Meta.ppGoal g
    goalsGo r (a.push (.str f.pretty))

def startTac (j : Json) (tk : Option IO.CancelToken) : M (Except String TacState) := do
  let hb := nat "maxHeartbeats" j 200000
  match (← getHeader j tk) with
  | .error e => return .error e
  | .ok h =>
  match (← getReference h j tk) with
  | .error e => return .error e
  | .ok r =>
  match h.cs.scopes with
  | [] => return .error "no scope"
  | sc :: _ =>
    let coreC : Core.Context := { fileName := "<tactic>", fileMap := "".toFileMap, options := mkOpts hb, currNamespace := sc.currNamespace, openDecls := sc.openDecls }
    let core : Core.State := { env := h.cs.env }
    let ts0 : TacState := { core, coreC, mst := {}, mctx := {}, term := { levelNames := r.info.levelParams }, termC := { declName? := some r.target, errToSorry := false }, tac := { goals := [] }, tacC := { elaborator := .anonymous, recover := false }, root := .bvar 0, name := r.target, type := r.info.type, lvls := r.info.levelParams }
    let x : Tactic.TacticM Expr := do
      let e ← mkFreshExprMVar r.info.type .syntheticOpaque
      let (_, g) ← e.mvarId!.introNP r.binders
      modify fun s => { s with goals := [g] }
      return e
    match (← runM ts0 x hb tk) with
    | .ok (e, ts) => return .ok { ts with root := e }
    | .error e => return .error e

partial def errorText : List Message → IO String
  | [] => return ""
  | m :: r => do
    match m.severity with
    | .error =>
      let t := clip (← m.data.toString) 2000
      let rest ← errorText r
      return if rest.isEmpty then t else t ++ "
" ++ rest
    | _ => errorText r

def stepTac (ts : TacState) (tac : String) (hb : Nat) (tk : Option IO.CancelToken) : M (Except String TacState) := do
  match Parser.runParserCategory ts.core.env `tactic ("(" ++ tac ++ "\n)") with
  | .error e => return .error ("parse: " ++ e)
  | .ok stx =>
    let p := (← get).policy
    match (if p.any then none else broken p stx) with
    | some (what, _) => return .error ("not allowed: " ++ what)
    | none =>
    let x : Tactic.TacticM Unit := do
      Tactic.evalTactic stx
      Term.synthesizeSyntheticMVarsNoPostponing
      Tactic.pruneSolvedGoals
    match (← runM ts x hb tk) with
    | .error e => return .error e
    | .ok (_, ts') =>
      if hasErr ts'.core.messages.toList then return .error (← errorText ts'.core.messages.toList)
      else return .ok ts'

/-- kernel-check the assembled term; the axioms that it uses -/
def finishTac (ts : TacState) : IO (Except String (List Name)) := do
  let x : Tactic.TacticM Expr := instantiateMVars ts.root
  match (← runM ts x 200000 none) with
  | .error e => return .error e
  | .ok (v, _) =>
    if v.hasMVar then return .error "unassigned metavariables" else
    match ts.core.env.toKernelEnv.addDecl {} (.thmDecl { name := ts.name, levelParams := ts.lvls, type := ts.type, value := v }) with
    | .error ex => return .error (← (ex.toMessageData {}).toString)
    | .ok _ => return .ok (axNames ts.core.env ts.core.env ts.core.env.toKernelEnv {} v.getUsedConstants.toList {}).axs

partial def nameStrs : List Name → List String
  | [] => []
  | n :: r => nstr n :: nameStrs r

partial def hasSorry : List Name → Bool
  | [] => false
  | a :: r => if a == ``sorryAx then true else hasSorry r

def tacAnswer (ts : TacState) : M Json := do
  match ts.tac.goals with
  | [] =>
    match (← finishTac ts) with
    | .ok ax =>
      if hasSorry ax then return err "the proof uses sorry"
      else return Json.mkObj [("ok", jbool true), ("done", jbool true), ("axioms", .arr (jstrs (nameStrs ax) #[]))]
    | .error e => return err ("kernel: " ++ e)
  | _ =>
    let gs ← match (← runM ts (goalsGo ts.tac.goals #[]) 200000 none) with
      | .ok (a, _) => pure a
      | .error e => pure #[.str ("?: " ++ e)]
    let s ← get
    let kept := if s.next % 500 == 0 then firstTacs 4000 s.tacs else s.tacs
    set { s with tacs := (s.next, ts) :: kept, next := s.next + 1 }
    return Json.mkObj [("ok", jbool true), ("state", .num s.next), ("goals", .arr gs)]

partial def tacOf : List (Nat × TacState) → Nat → Option TacState
  | [], _ => none
  | (a, e) :: r, s => if a = s then some e else tacOf r s

partial def stepAll (hb : Nat) (tk : Option IO.CancelToken) (i : Nat) : List String → TacState → M Json
  | [], ts => tacAnswer ts
  | t :: r, ts => do
    match (← stepTac ts t hb tk) with
    | .error e => return (err e).setObjVal! "at" (.num i)
    | .ok ts' => stepAll hb tk (i+1) r ts'

partial def stepEach (hb : Nat) (tk : Option IO.CancelToken) (ts : TacState) : List String → Array Json → M (Array Json)
  | [], a => return a
  | t :: r, a => do
    let one ← stepAll hb tk 0 [t] ts
    stepEach hb tk ts r (a.push one)

/-! ### the loop -/

def handle (j : Json) (tk : Option IO.CancelToken) : M Json := do
  let hb := nat "maxHeartbeats" j 200000
  match str "cmd" j with
  | "ping" => return Json.mkObj [("ok", jbool true)]
  | "policy" => modify (fun s => { s with policy := policyOf j }); return Json.mkObj [("ok", jbool true)]
  | "check" => doCheck j tk
  | "replay" => doReplay j tk
  | "goals" =>
    match (← startTac j tk) with
    | .error e => return err e
    | .ok ts => stepAll hb tk 0 (strs "tactics" j) ts
  | "step" =>
    match tacOf (← get).tacs (nat "state" j) with
    | none => return (err "no such state").setObjVal! "gone" (jbool true)
    | some ts => return Json.mkObj [("ok", jbool true), ("steps", .arr (← stepEach hb tk ts (strs "tactics" j) #[]))]
  | "reset" => modify (fun s => { s with tacs := [] }); return Json.mkObj [("ok", jbool true)]
  | c => return err s!"unknown command {c}"

/-- one thread for all requests: it sets the token of the request that is over its time -/
partial def watch (current : IO.Ref (Option (IO.CancelToken × Nat))) : BaseIO Unit := do
  match (← current.get) with
  | none => IO.sleep 20
  | some (tk, limit) =>
    if (← IO.monoMsNow) > limit then
      tk.set
      current.set none
    IO.sleep 20
  watch current

def handleTimed (j : Json) : M Json := do
  let limit := nat "timeoutMs" j
  if limit = 0 then handle j none else
  let current := (← get).current
  let tk ← IO.CancelToken.new
  current.set (some (tk, (← IO.monoMsNow) + limit))
  let r ← try handle j (some tk) catch e => pure (Json.mkObj [("exception", .str (clip (toString e) 500))])
  current.set none
  if (← tk.isSet) then return r.setObjVal! "timeout" (jbool true) else return r

partial def loop : M Unit := do
  let line ← (← IO.getStdin).getLine
  if line.isEmpty then return
  match Json.parse line with
  | .error e => emit "bad" (err s!"not JSON: {e}")
  | .ok j =>
    let t0 ← IO.monoMsNow
    let r ← try handleTimed j catch e => pure (Json.mkObj [("exception", .str (clip (toString e) 500))])
    let t1 ← IO.monoMsNow
    emit (str "nonce" j) ((r.setObjVal! "t" (.num (t1 - t0))).setObjVal! "id" (.num (nat "id" j)))
  loop

def start : M Unit := do
  emit "ready" (Json.mkObj [("version", .str Lean.versionString), ("githash", .str Lean.githash)])
  loop

end ProofServer

def ProofServer.run : IO Unit := do
  let out ← IO.getStdout
  let current ← IO.mkRef none
  let _ ← (ProofServer.watch current).asTask .dedicated
  let _ ← ProofServer.start.run { out, current }

public def main (_ : List String) : IO Unit := ProofServer.run
