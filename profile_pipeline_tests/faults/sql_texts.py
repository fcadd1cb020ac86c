"""Which texts of SQL are put together from what, found in the syntax trees of the package: fields of f-strings, followed to where they come from.

A field is harmless if it is text of our own (constants), a number or a date by its annotation, a table's or a column's name, or escaped for
where it stands; names are followed through assignments, loops, arguments and returned values. Everything else is told. Not here: any test,
or what is allowed beside these and why (`test_sql_texts`).
"""

import ast
import builtins
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

# Texts of which one alone is SQL; a part of a text that has none of them is followed from where it is put in.
IS_SQL = re.compile(
    r"\b(select|insert into|delete from|update \S+ (as \w+ )?set|create (or replace )?(temp )?(table|view|schema)|alter table|drop (table|view)"
    r"|group by|order by|partition by|union all|is (not )?distinct from|case when|semi join|coalesce\(|count\(|sum\(|cast\()"
    r"|\b(attach|date|between|like|in|=) ?\(?'|^(set|copy|describe|pragma) "
)
TYPES_WITHOUT_TEXT = {"int", "float", "bool", "None", "dt.date", "date", "dt.datetime", "Decimal", "Table", "Column", "Sequence", "Iterable", "Iterator", "Collection", "list", "tuple", "set", "dict", "frozenset"}  # fmt: skip
# Of these what is returned is a number, a date, or a text that is escaped for a place outside of quotes, or within.
SAFE_OUTSIDE = {"int", "float", "len", "range", "isoformat", "days", "quote_identifier", "sql_file", "_text"}
SAFE_WITHIN = {"int", "float", "len", "range", "isoformat", "days", "_literal"}
PASSED_THROUGH = {"join", "items", "keys", "values", "sorted", "list", "tuple", "set", "dict", "zip", "enumerate", "reversed", "map", "min", "max", "fromkeys", "format", "strip", "removeprefix", "removesuffix", "chain", "islice", "product", "pairwise", "next", "get", "str", "replace", "split", "rpartition"}  # fmt: skip
# What these return are tables of Arrow and results of training: where a text or a table may be given, they are the table.
NO_TEXT = {"table", "concat_tables", "from_pylist", "empty_table", "arrow", "select", "to_arrow_table", "NotTrained", "Trained", "Segmented", "Frame", "timedelta"}  # fmt: skip
DOUBLED = {'replace("\'", "\'\'")', "replace(chr(39), chr(39) * 2)"}
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
Function = ast.FunctionDef | ast.AsyncFunctionDef
# An expression, and whether it stands within quotes.
Unknown = tuple[ast.expr, bool]


@dataclass(frozen=True)
class Doubt:
    """What nothing says is harmless, `<module>: <expression>`, in quotes where it stands within quotes; and the text that it comes into."""

    told: str
    line: int
    text: str


@dataclass
class Package:
    """Modules by name, parsed."""

    trees: Mapping[str, ast.Module]
    allowed: Collection[str] = ()
    used: set[str] = field(default_factory=set, init=False)
    _is_strict: bool = field(default=False, init=False)
    _asked: dict[tuple[int, bool, bool], list[Unknown]] = field(default_factory=dict, init=False)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for tree in self.trees.values() for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}  # fmt: skip

    @cached_property
    def functions(self) -> dict[str, list[Function]]:
        found = defaultdict(list)
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, Function):
                    found[node.name].append(node)
        return found

    @cached_property
    def calls(self) -> dict[str, list[ast.Call]]:
        found = defaultdict(list)
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    found[_called(node)].append(node)
        return found

    @cached_property
    def module_of(self) -> dict[ast.AST, str]:
        return {node: name for name, tree in self.trees.items() for node in ast.walk(tree)}

    def doubts(self) -> list[Doubt]:
        """Every field of a text of SQL that is not known to be harmless."""
        found = []
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr) and IS_SQL.search(_text_of(node)):
                    found += list(self._doubts_in(node))
        return sorted(set(found), key=lambda d: (d.told, d.line, d.text))

    def _doubts_in(self, text: ast.JoinedStr) -> Iterator[Doubt]:
        for value, is_within in _fields(text):
            for part, is_part_within in self._unknown(value, is_within):
                yield Doubt(self._told(part, is_part_within), part.lineno, _text_of(text))

    def _unknown(self, node: ast.expr, within: bool) -> list[Unknown]:
        """The parts of an expression that are not known to be harmless."""
        told = self._told(node, within)
        if told in self.allowed and not self._is_strict:
            self.used.add(told)
            return []
        key = (id(node), within, self._is_strict)
        if key not in self._asked:
            self._asked[key] = []  # what comes round to itself adds nothing
            self._asked[key] = list(dict.fromkeys(self._look(node, within)))
        return self._asked[key]

    def _told(self, node: ast.expr, within: bool) -> str:
        expression = _written(node)
        return f"{self.module_of[node]}: {repr(expression) if within else expression}"

    def _all(self, nodes: list[ast.expr], within: bool) -> list[Unknown]:
        return [part for node in nodes for part in self._unknown(node, within)]

    def _look(self, node: ast.expr, within: bool) -> list[Unknown]:
        match node:
            case ast.Constant() | ast.Compare() | ast.UnaryOp():
                return []
            case ast.JoinedStr():
                return self._all_fields(node, within)
            case ast.Name():
                return [] if node.id.isupper() or self._is_harmless_name(node, within) else self._origin(node, within)
            case ast.Attribute():
                return [] if node.attr.isupper() else self._attribute(node, within)
            case ast.Call():
                return self._call(node, within)
            case ast.IfExp():
                return self._all([node.body, node.orelse], within)
            case ast.BoolOp():
                return self._all(node.values, within)
            case ast.BinOp():
                return self._all([node.left, node.right], within)
            case ast.List() | ast.Tuple() | ast.Set():
                return self._all(node.elts, within)
            case ast.Dict():
                return self._all([*(k for k in node.keys if k), *node.values], within)
            case ast.DictComp():
                return self._all([node.key, node.value], within)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self._unknown(node.elt, within)
            case ast.Starred() | ast.Subscript() | ast.NamedExpr():
                return self._unknown(node.value, within)
        return [(node, within)]

    def _all_fields(self, text: ast.JoinedStr, within: bool) -> list[Unknown]:
        return [p for value, is_within in _fields(text) for p in self._unknown(value, within or is_within)]

    def _attribute(self, node: ast.Attribute, within: bool) -> list[Unknown]:
        """What belongs to something harmless is so, such as a table's name."""
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            owner = self._enclosing(node, ast.ClassDef)
            return [] if owner is not None and self._is_typed_field(owner, node.attr) else [(node, within)]
        # That a thing itself may stand in a text says nothing of what belongs to it.
        was_strict, self._is_strict = self._is_strict, True
        try:
            return [(node, within)] if self._unknown(node.value, within) else []
        finally:
            self._is_strict = was_strict

    def _is_typed_field(self, owner: ast.AST, name: str) -> bool:
        assert isinstance(owner, ast.ClassDef)
        if owner.name in TYPES_WITHOUT_TEXT:
            return True
        return any(isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and s.target.id == name and _is_without_text(s.annotation) for s in owner.body)  # fmt: skip

    def _call(self, node: ast.Call, within: bool) -> list[Unknown]:
        name = _called(node)
        if name in NO_TEXT | (SAFE_WITHIN if within else SAFE_OUTSIDE):
            return []
        if isinstance(node.func, ast.Attribute):
            if within and ast.unparse(node).endswith(tuple(f".{d}" for d in DOUBLED)):
                return []
            if name in PASSED_THROUGH:
                return self._all(
                    [node.func.value, *node.args, *(k.value for k in node.keywords if k.arg != "key")], within
                )
        elif name == "map" and node.args:
            function = _name_of(node.args[0])
            if function in (SAFE_WITHIN if within else SAFE_OUTSIDE):
                return []
            return self._returned(function, node, within) + self._all(node.args[1:], within)
        elif name in PASSED_THROUGH:
            return self._all([*node.args, *(k.value for k in node.keywords if k.arg != "key")], within)
        return self._returned(name, node, within)

    def _returned(self, name: str, node: ast.expr, within: bool) -> list[Unknown]:
        """What a function of the package returns; of another nothing is known."""
        function = self._function(name, node)
        if function is None:
            return [(node, within)]
        if function.returns is not None and _is_without_text(function.returns):
            return []
        return self._all(list(_returned_by(function)), within)

    def _function(self, name: str, where: ast.expr) -> Function | None:
        """The function that is called: of the module, one that it imports, or the only method of that name in the package."""
        module, known = self.module_of[where], self.functions.get(name, [])
        if isinstance(where, ast.Call) and isinstance(where.func, ast.Attribute):
            found = [f for f in known if isinstance(self.parents[f], ast.ClassDef)]
        else:
            found = [f for f in known if self.module_of[f] == module or (self.module_of[f], name) in self.imports[module]]  # fmt: skip
        return found[0] if len(found) == 1 else None

    @cached_property
    def imports(self) -> dict[str, set[tuple[str, str]]]:
        """Of each module the names that it imports from others, with the file of the module that they come from."""
        return {
            module: {
                (f"{(n.module or '').partition('.')[2].replace('.', '/')}.py", alias.name)
                for n in ast.walk(tree)
                if isinstance(n, ast.ImportFrom)
                for alias in n.names
            }
            for module, tree in self.trees.items()
        }

    def _enclosing(self, node: ast.AST, *kinds: type) -> ast.AST | None:
        at: ast.AST | None = self.parents.get(node)
        while at is not None and not isinstance(at, kinds):
            at = self.parents.get(at)
        return at

    def _is_harmless_name(self, node: ast.Name, within: bool) -> bool:
        return not within and node.id in SAFE_OUTSIDE

    def _origin(self, node: ast.Name, within: bool) -> list[Unknown]:
        """Follow a name to what it is bound to, in the nearest scope that binds it."""
        at: ast.AST | None = node
        while at is not None:
            at = self._enclosing(at, *Comprehension.__args__, *Function.__args__, ast.Lambda, ast.Module)
            if isinstance(at, Comprehension):
                bound = [g.iter for g in at.generators if node.id in _names_in(g.target) and not _is_below(node, g.iter, self.parents)]  # fmt: skip
                if bound:
                    return self._all(bound, within)
            elif isinstance(at, Function):
                bound = list(_bound_in(at, node.id))
                parameter = next((a for a in _parameters(at) if a.arg == node.id), None)
                if parameter is not None:
                    return self._all(bound, within) + self._given(at, parameter, node, within)
                if bound:
                    return self._all(bound, within)
            elif isinstance(at, ast.Module):
                bound = list(_bound_in(at, node.id))
                is_known = bool(bound) or hasattr(builtins, node.id) or node.id in _modules_in(at)
                return self._all(bound, within) if is_known else [(node, within)]
        return [(node, within)]

    def _given(self, function: Function, parameter: ast.arg, node: ast.Name, within: bool) -> list[Unknown]:
        """What callers give for a parameter, unless its annotation says that it is no text."""
        if parameter.annotation is not None and _is_without_text(parameter.annotation):
            return []
        names = [a.arg for a in _parameters(function)]
        place = names.index(parameter.arg) - (names[0] in ("self", "cls"))
        given = [
            argument
            for call in self.calls.get(function.name, [])
            if self._function(function.name, call) is function
            for argument in [*call.args[place : place + 1], *(k.value for k in call.keywords if k.arg == parameter.arg)]
        ]
        given += _default_of(function, parameter)
        return self._all(given, within) if given else [(node, within)]


def _fields(text: ast.JoinedStr) -> Iterator[tuple[ast.expr, bool]]:
    """The fields of an f-string, each with whether it stands within single quotes."""
    n_quotes = 0
    for value in text.values:
        if isinstance(value, ast.Constant):
            n_quotes += str(value.value).count("'")
        elif isinstance(value, ast.FormattedValue):
            yield value.value, n_quotes % 2 == 1


def _text_of(text: ast.JoinedStr) -> str:
    return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in text.values)


def _called(call: ast.Call) -> str:
    return _name_of(call.func)


def _name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _written(node: ast.expr) -> str:
    return f"{ast.unparse(node.func)}(…)" if isinstance(node, ast.Call) else ast.unparse(node)


def _names_in(target: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}


def _is_below(node: ast.AST, above: ast.AST, parents: Mapping[ast.AST, ast.AST]) -> bool:
    at: ast.AST | None = node
    while at is not None and at is not above:
        at = parents.get(at)
    return at is above


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _is_without_text(annotation: ast.expr) -> bool:
    return set(re.findall(r"[A-Za-z_][\w.]*", ast.unparse(annotation))) <= TYPES_WITHOUT_TEXT


def _modules_in(tree: ast.Module) -> set[str]:
    return {alias.asname or alias.name for n in tree.body if isinstance(n, ast.Import) for alias in n.names}


def _default_of(function: Function, parameter: ast.arg) -> list[ast.expr]:
    by_place = [*function.args.posonlyargs, *function.args.args]
    defaults = dict(zip(reversed(by_place), reversed(function.args.defaults), strict=False))
    defaults |= {
        a: d for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d is not None
    }
    return [defaults[parameter]] if parameter in defaults else []


def _assigned(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, its, name)
    elif not isinstance(target, ast.Attribute) and name in _names_in(target):
        yield value


def _returned_by(function: Function) -> Iterator[ast.expr]:
    for node in _statements(function):
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            yield node.value


def _statements(scope: Function | ast.Module) -> Iterator[ast.AST]:
    """The nodes of a scope, those of functions and classes within left out."""
    waiting: list[ast.AST] = list(scope.body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Function | ast.ClassDef):
            yield node
            waiting += ast.iter_child_nodes(node)


def _bound_in(scope: Function | ast.Module, name: str) -> Iterator[ast.expr]:
    """What a name is bound to by statements of a scope."""
    for node in _statements(scope):
        match node:
            case ast.Assign():
                for target in node.targets:
                    yield from _assigned(target, node.value, name)
            case ast.AnnAssign() | ast.AugAssign() | ast.NamedExpr():
                if name in _names_in(node.target) and node.value is not None:
                    yield node.value
            case ast.For():
                if name in _names_in(node.target):
                    yield node.iter
            case ast.withitem():
                if node.optional_vars is not None and name in _names_in(node.optional_vars):
                    yield node.context_expr
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="append" | "extend" | "add")) if (
                owner == name
            ):
                yield from node.args
