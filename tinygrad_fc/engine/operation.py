"""Op: an operation, its rules, and what follows from them: what a node keeps, and how backward feeds each rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .dispatch import functions
from .node import Node
from .record import Operation

Rule = Callable[..., Any]
Pull = Callable[..., Any]
Function = Callable[..., Any]

# The registry's tests prove the rules of operations declared in this package, so backward need not check each result.
_HOUSE = f"{__name__.split('.')[0]}."


# The code of a rule that is one product: NumPy's own function is that rule, and needs no frame.
_PRODUCT = (lambda g, x: g * x).__code__.co_code


def _guarded(pull: Pull, key: str, name: str) -> Pull:
    """Return the pull of another's rule: it cannot write into the gradient it is given, and its errors say whose."""

    def guarded(g: Any, *saved: Any) -> Any:
        if type(g) is np.ndarray:
            g = g.view()
            g.flags.writeable = False
        try:
            return pull(g, *saved)
        except Exception as error:
            shape = np.shape(g)
            error.add_note(f"{name}: raised while backward ran its rules, for {key!r}, on a gradient of shape {shape}.")
            raise

    return guarded


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that proposes the known word nearest to a misspelled one, or nothing."""
    import difflib  # only ever needed for a message

    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class Op:
    """An operation: its array function, its rules, and what follows from them.

    Attributes
    ----------
    name : str
        Name in messages, drawings and the public namespace.
    function : callable
        Arrays in, array out; with `leaves`, a tuple of the result and what is left over for the rules.
    arguments : tuple of str
        Names of all arguments, in order.
    differentiable : tuple of str
        Those that have a rule, in order; the parents of a node stand in this order.
    environment : tuple of str
        What a node may keep for the rules, in the order of ``Node.saved``.
    pulls : tuple of callable
        For each differentiable argument ``pull(g, saved)``, the rule fed from what a node saved.
    picks : tuple of int or None
        Where a number stands, the pull is the rule itself and takes that one entry: ``pull(g, saved[pick])``.
    compose : callable or None
        The same function written with primitives (fused operations).
    proved : bool
        Whether the operation is this package's own, so that tests prove its rules: each returns an array of its own,
        and where nothing was broadcast or cast, of the right shape and dtype. Another's results are checked and copied.
    alike : bool
        Whether it is a ufunc whose result has the shape and dtype of its arguments, where they are the same floats.
    pair : tuple or False
        The pulls and picks of a ufunc of two arguments, where each rule reads one thing: backward unrolls it.
    branch : callable or None
        Which of its pieces the function is on, where it has kinks or steps: ``branch(x, out)`` returns an array that
        changes when a kink is crossed. Its parameters name what it reads: arguments, and the result. Checks call it.
    recordable : bool
        Whether the rules may be recorded for higher orders. They may unless they read what a kernel left over; then
        higher orders go through `compose`.
    """

    __slots__ = (
        "name", "function", "arguments", "defaults", "variadic", "keyword_only", "rules", "differentiable", "via",
        "leaves", "compose", "environment", "pulls", "picks", "pull_via", "recordable", "elementwise", "broadcasts",
        "proved", "trusted", "samples", "cure", "module", "alike", "pair", "record", "beside", "branch",
    )  # fmt: skip

    record: Operation
    arguments: tuple[str, ...]
    differentiable: tuple[str, ...]
    environment: tuple[str, ...]
    pulls: tuple[Pull, ...]
    picks: tuple[int | None, ...]
    pull_via: Pull | None

    def __init__(
        self, function: Function, name: str, rules: dict[str, Rule | None], via: Rule | None,
        leaves: tuple[str, ...], compose: Function | None, broadcasts: bool, samples: Any, cure: str, module: str,
        beside: tuple[str, ...] = (), branch: Rule | None = None,
    ) -> None:  # fmt: skip
        self.name, self.function, self.via, self.leaves, self.compose = name, function, via, leaves, compose
        self.samples, self.module, self.beside, self.branch = samples, module, beside, branch
        self.proved = module.startswith(_HOUSE)
        self.elementwise = elementwise = isinstance(function, np.ufunc) and function.signature is None
        self.alike = elementwise and {f"{c * len(rules)}->{c}" for c in "efd"} <= {*getattr(function, "types", ())}
        self.broadcasts = broadcasts or isinstance(function, np.ufunc)
        self.cure = cure or "Axes are aligned from the last one; insert one with x[:, None]." * self.broadcasts
        self.trusted = self.proved and elementwise  # its results need no check where all shapes and dtypes agree
        if not rules and not self.proved:
            raise TypeError(
                f"op {name}: no rule is given, so gradients would end here in silence. Give a rule for each argument, "
                f"x=lambda g, ...: ..., or x=None for one that takes no gradient."
            )
        for key, given in (("leaves", leaves), ("beside", beside)):
            if not isinstance(given, tuple) or not {*beside} <= {*leaves}:
                raise TypeError(
                    f"op {name}: {key} is {given!r}, expected a tuple of names: leaves=('mask',) of what the kernel "
                    f"returns after its result, beside= of those of them that the caller gets."
                )
        self._read_signature(rules)
        self.rules = {key: rule for key, rule in rules.items() if rule is not None}
        self.differentiable = tuple(name for name in self.arguments if name in self.rules)
        if self.variadic in self.differentiable and self.differentiable[-1] != self.variadic:
            raise TypeError(f"op {name}: the variadic argument *{self.variadic} must be the last differentiable one.")
        named = self.rules if via is None else {**self.rules, "via": via}
        read = {key for label, rule in named.items() for key in self._reads(label, rule)}
        if branch is not None:
            self._reads("branch", branch)
        left_over = sorted(read & set(leaves))
        self.recordable = not left_over
        if not self.recordable:
            if compose is None:
                raise TypeError(
                    f"op {name}: its rules read what the kernel left over ({', '.join(left_over)}), which "
                    f"cannot be differentiated again: give compose=, the same function written with primitives."
                )
            read |= set(self.arguments)  # compose needs every argument again
        self.environment = tuple(key for key in self._readable() if key in read and key != "index")
        if self.is_simple():
            self.environment = (*self.arguments, "out")
        ways = [self._way(key) for key in self.differentiable]
        self.pulls, self.picks = tuple([pull for pull, _ in ways]), tuple([pick for _, pick in ways])
        self.pair: Any = self.trusted and len(ways) == 2 and None not in self.picks and (*self.pulls, *self.picks)
        self.pull_via = self._feed(self._reads("via", via), via) if via is not None else None
        if not self.proved:
            self.pulls = tuple([_guarded(*pair, name) for pair in zip(self.pulls, self.differentiable, strict=True)])
            self.pull_via = self.pull_via and _guarded(self.pull_via, "via", name)
        taken = {"out", "index", *(f"{key}_shape" for key in self.arguments)}
        for key in (*self.arguments, *self.leaves):
            if key in taken or key in self.arguments and key in self.leaves:
                raise TypeError(
                    f"op {name}: the name {key!r} means something else to rules (the result, a shape, a position), so "
                    f"no argument and none of the leaves may have it: choose another."
                )

    # ---- declaration

    def _read_signature(self, rules: dict[str, Rule | None]) -> None:
        self.defaults: dict[str, Any] = {}
        self.variadic: str | None = None
        self.keyword_only: tuple[str, ...] = ()
        if isinstance(self.function, np.ufunc):
            self.arguments = tuple(rules) or ("x", "y", "z")[: self.function.nin]
            if len(self.arguments) != self.function.nin:
                raise TypeError(
                    f"op {self.name}: np.{self.function.__name__} has {self.function.nin} arguments, given rules for "
                    f"{', '.join(self.arguments)}. Name every one, with None for an argument that takes no gradient."
                )
            return
        try:
            parameters = inspect.signature(self.function).parameters.values()
        except (TypeError, ValueError):
            raise TypeError(
                f"op {self.name}: the arguments of {self.function!r} have no names that can be read. Wrap it: "
                f"def {self.name}(x, axis=None): return ..."
            ) from None
        self.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.keyword_only = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        self.arguments = tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        for key in rules:
            if key not in self.arguments:
                raise TypeError(
                    f"op {self.name}: a rule is given for {key!r}, which is no argument of {self.function.__name__}"
                    f"({', '.join(self.arguments)}).{nearest(key, self.arguments)}"
                )

    def _readable(self) -> tuple[str, ...]:
        shapes = [f"{key}_shape" for key in self.differentiable]
        return (*self.arguments, "out", *shapes, *self.leaves, *["index"] * (self.variadic in self.differentiable))

    def _reads(self, label: str, rule: Rule) -> tuple[str, ...]:
        code = getattr(rule, "__code__", None)
        if code is None or code.co_argcount < 1 or code.co_kwonlyargcount or hasattr(rule, "__self__"):
            raise TypeError(
                f"op {self.name}: the rule for {label!r} must be a plain function of g and of what it reads."
            )
        known, first = (self._readable(), 1) if label != "branch" else ((*self.arguments, "out"), 0)  # it has no g
        for key in code.co_varnames[first : code.co_argcount]:
            if key not in known:
                raise TypeError(
                    f"op {self.name}: the rule for {label!r} reads {key!r}; it may read "
                    f"{', '.join(known)}.{nearest(key, known)}"
                )
        return code.co_varnames[first : code.co_argcount]

    def is_simple(self) -> bool:
        """Whether the record functions by arity serve: a ufunc of one or two arguments whose rules read no more."""
        return (
            isinstance(self.function, np.ufunc)
            and self.function.nout == 1
            and len(self.arguments) <= 2
            and self.differentiable == self.arguments
            and self.via is None
            and set(self.environment) <= {*self.arguments, "out"}
        )

    def _way(self, key: str) -> tuple[Pull, int | None]:
        """Return the pull and the pick of one argument. Most rules read one thing: they need no go-between."""
        rule, reads = self.rules[key], self._reads(key, self.rules[key])
        if self.variadic is None and len(reads) == 1:
            product = getattr(rule, "__code__", None) is not None and rule.__code__.co_code == _PRODUCT
            return np.multiply if product else rule, self.environment.index(reads[0])
        return self._feed(reads, rule), 0 if self.is_simple() and not reads else None

    def _feed(self, keys: tuple[str, ...], rule: Rule) -> Pull:
        """Return ``pull(g, saved)``, which hands the rule what it reads of the environment."""
        where = [self.environment.index(key) for key in keys if key != "index"]
        if "index" in keys:
            before, after = where[: keys.index("index")], where[keys.index("index") :]
            return lambda g, saved, index: rule(g, *[saved[i] for i in before], index, *[saved[i] for i in after])
        if not where:
            return lambda g, saved: rule(g)
        if len(where) == 2:  # unrolled: a starred call costs 0.2 us more
            a, b = where
            return lambda g, saved: rule(g, saved[a], saved[b])
        return lambda g, saved: rule(g, *[saved[i] for i in where])

    # ---- use

    def pulls_of(self, node: Node) -> tuple[tuple[Pull, ...], tuple[int | None, ...]]:
        """Return the pulls and picks for the parents of `node`, one each (a variadic argument has many parents)."""
        if self.variadic is None:
            return self.pulls, self.picks
        single, many = self.pulls[:-1], self.pulls[-1]
        if "index" not in self._reads("", self.rules[self.differentiable[-1]]):
            return (*single, *[many] * (len(node.parents) - len(single))), (None,) * len(node.parents)
        each = [lambda g, saved, i=i: many(g, saved, i) for i in range(len(node.parents) - len(single))]
        return (*single, *each), (None,) * len(node.parents)

    def parent_names(self, count: int) -> tuple[str, ...]:
        """Return the argument names of the `count` parents of a node, e.g. ``("arrays[0]", "arrays[1]")``."""
        if self.variadic is None:
            return self.differentiable
        single = self.differentiable[:-1]
        return (*single, *[f"{self.variadic}[{i}]" for i in range(count - len(single))])

    def keeps(self, needed: tuple[bool, ...]) -> tuple[bool, ...]:
        """Return which entries of the environment a node keeps, given which differentiable arguments need gradients."""
        read = set() if self.recordable else set(self.arguments)
        if self.via is not None and any(needed):
            read |= set(self._reads("via", self.via))
        for key, wanted in zip(self.differentiable, needed, strict=True):
            if wanted:
                read |= set(self._reads(key, self.rules[key]))
        return tuple([key in read for key in self.environment])

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return the values of all arguments in order, as a call of `function` would bind them."""
        names = self.arguments
        if self.variadic is not None:
            first = names.index(self.variadic)
            values = [*args[:first], args[first:]]
        else:
            values = list(args)
            if len(values) > len(names) - len(self.keyword_only):
                raise functions.refusals().too_many(self, len(values))
        for key in names[len(values) :]:
            if key in kwargs:
                values.append(kwargs.pop(key))
            elif key in self.defaults:
                values.append(self.defaults[key])
            else:
                raise functions.refusals().missing(self, key)
        if wrong := [key for key, value in kwargs.items() if key != "out" or value is not None]:  # out=None: as it is
            raise functions.refusals().keyword(self, wrong[0])
        return values

    def call(self, values: list[Any], function: Callable[..., Any] | None = None) -> Any:
        """Call the array function, or another of the same signature (`compose`), with bound values."""
        function, last = function or self.function, len(values) - len(self.keyword_only)
        keywords = dict(zip(self.keyword_only, values[last:], strict=True))
        if self.variadic is None:
            return function(*values[:last], **keywords)
        return function(*values[: last - 1], *values[last - 1], **keywords)

    def __repr__(self) -> str:
        return f"<Op {self.name}({', '.join(self.arguments)})>"
