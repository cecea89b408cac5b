"""What the help of the program says of commands that were not asked for: nothing is imported to
find out, because some import for seconds."""

import ast
from importlib.util import find_spec
from pathlib import Path


def summary_of(place: str) -> str:
    """The first paragraph of the help of the command or group at `place`, as `module:name`."""
    module, _, name = place.partition(":")
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() if node.name == name:
                return (ast.get_docstring(node) or "").partition("\n\n")[0]
            case ast.Assign(targets=[ast.Name(id=assigned)], value=ast.Call(keywords=options)):
                if assigned == name:
                    return next(str(ast.literal_eval(o.value)) for o in options if o.arg == "help")
    raise AssertionError(f"{place}: is not there")
