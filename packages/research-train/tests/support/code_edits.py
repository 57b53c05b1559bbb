"""Ways to write code: an edit of each that changes a number, or can't.

Name, files beside train.py, lines on top ||| lines in its `load`, the file edited, old, new,
whether the fingerprint is another then.
"""

EDITS = [
    (
        "import a.b.c as x; x.y.z",
        {
            "a/__init__.py": "",
            "a/b/__init__.py": "",
            "a/b/c/__init__.py": "",
            "a/b/c/y.py": "z = 16\n",
        },
        "import paper_tiny.a.b.c as x\nimport paper_tiny.a.b.c.y|||x.y.z",
        "a/b/c/y.py",
        "16",
        "17",
        True,
    ),
    (
        "monkeypatch side-effect module",
        {"m.py": "w=1\n", "patch.py": "import paper_tiny.m\npaper_tiny.m.w = 16\n"},
        "import paper_tiny.m as m\nimport paper_tiny.patch|||m.w",
        "patch.py",
        "16",
        "17",
        True,
    ),
    (
        "monkeypatch via setattr",
        {"m.py": "w=1\n", "patch.py": "from paper_tiny import m\nsetattr(m, 'w', 16)\n"},
        "import paper_tiny.m as m\nimport paper_tiny.patch|||m.w",
        "patch.py",
        "16",
        "17",
        True,
    ),
    (
        "metaclass registry",
        {
            "m.py": "R={}\n"
            "class Meta(type):\n"
            "    def __new__(cls,n,b,d):\n"
            "        c=super().__new__(cls,n,b,d); R[n]=c; return c\n"
            "class Base(metaclass=Meta): pass\n"
            "class Small(Base):\n"
            "    width = 16\n"
        },
        "from paper_tiny.m import R|||R['Small'].width",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "init_subclass registry",
        {
            "m.py": "R={}\nclass Base:\n    def __init_subclass__(cls): R[cls.__name__]=cls\n",
            "n.py": "from paper_tiny.m import Base\nclass Small(Base):\n    width = 16\n",
        },
        "import paper_tiny.n\nfrom paper_tiny.m import R|||R['Small'].width",
        "n.py",
        "16",
        "17",
        True,
    ),
    (
        "decorated method registry",
        {
            "m.py": "R={}\n"
            "def reg(f):\n"
            "    R[f.__name__]=f\n"
            "    return f\n"
            "class Models:\n"
            "    @reg\n"
            "    def small():\n"
            "        return 16\n"
        },
        "from paper_tiny.m import R|||R['small']()",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "class body call",
        {"m.py": "R={}\ndef reg(k,v):\n    R[k]=v\nclass Models:\n    x = reg('a', 16)\n"},
        "from paper_tiny.m import R|||R['a']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "class body for",
        {"m.py": "R={}\nclass Models:\n    for k in 'ab':\n        R[k]=16\n"},
        "from paper_tiny.m import R|||R['a']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "class body subscript assign",
        {"m.py": "R={}\nclass Models:\n    R['a'] = 16\n"},
        "from paper_tiny.m import R|||R['a']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "default arg call registers",
        {"m.py": "R={}\ndef reg(k,v):\n    R[k]=v\ndef unused(x=reg('a',16)): pass\n"},
        "from paper_tiny.m import R|||R['a']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "try/except ImportError first",
        {"fast.py": "width = 16\n", "slow.py": "width = 1\n"},
        "try:\n"
        "    from paper_tiny.fast import width\n"
        "except ImportError:\n"
        "    from paper_tiny.slow import width|||width",
        "fast.py",
        "16",
        "17",
        True,
    ),
    (
        "try/except ImportError second",
        {"fast.py": "width = 1\n", "slow.py": "width = 16\n"},
        "try:\n"
        "    from paper_tiny.fast import width\n"
        "except ImportError:\n"
        "    from paper_tiny.slow import width|||width",
        "slow.py",
        "16",
        "17",
        True,
    ),
    (
        "if/else import in a function",
        {"fast.py": "width = 16\n", "slow.py": "width = 1\n"},
        "|||if run:\n"
        "    from paper_tiny.fast import width\n"
        "else:\n"
        "    from paper_tiny.slow import width\n"
        "width",
        "fast.py",
        "16",
        "17",
        True,
    ),
    (
        "rebound import",
        {"fast.py": "width = 16\n", "slow.py": "width = 1\n"},
        "from paper_tiny.fast import width\n"
        "x = [width]\n"
        "from paper_tiny.slow import width|||width, x",
        "fast.py",
        "16",
        "17",
        True,
    ),
    (
        "two stars order",
        {
            "a.py": "width = 16\n",
            "b.py": "width = 1\n",
            "s.py": "from paper_tiny.a import *\nfrom paper_tiny.b import *\n",
        },
        "from paper_tiny.s import width|||width",
        "s.py",
        "from paper_tiny.a import *\nfrom paper_tiny.b import *\n",
        "from paper_tiny.b import *\nfrom paper_tiny.a import *\n",
        True,
    ),
    (
        "two stars second",
        {
            "a.py": "width = 1\n",
            "b.py": "width = 16\n",
            "s.py": "from paper_tiny.a import *\nfrom paper_tiny.b import *\n",
        },
        "from paper_tiny.s import width|||width",
        "b.py",
        "16",
        "17",
        True,
    ),
    (
        "__all__ changed",
        {
            "a.py": "width = 16\n__all__=['width']\n",
            "b.py": "width = 1\n__all__=['x']\nx=1\n",
            "s.py": "from paper_tiny.a import *\nfrom paper_tiny.b import *\n",
        },
        "from paper_tiny.s import width|||width",
        "b.py",
        "['x']",
        "['x','width']",
        True,
    ),
    (
        "two imports order",
        {
            "a.py": "width = 16\n",
            "b.py": "width = 1\n",
            "s.py": "from paper_tiny.a import width\nfrom paper_tiny.b import width\n",
        },
        "from paper_tiny.s import width|||width",
        "s.py",
        "from paper_tiny.a import width\nfrom paper_tiny.b import width\n",
        "from paper_tiny.b import width\nfrom paper_tiny.a import width\n",
        True,
    ),
    (
        "dict of functions",
        {"m.py": "def f(): return 16\nMODELS={'f': f}\n"},
        "from paper_tiny.m import MODELS|||MODELS['f']()",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "getattr module",
        {"m.py": "def f(): return 16\n"},
        "from paper_tiny import m|||getattr(m, 'f')()",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "base two files away",
        {
            "a.py": "class A:\n    def f(self): return 16\n",
            "b.py": "from .a import A\nclass B(A): pass\n",
            "c.py": "from .b import B\nclass C(B):\n    def f(self): return super().f()\n",
        },
        "from paper_tiny.c import C|||C().f()",
        "a.py",
        "16",
        "17",
        True,
    ),
    (
        "aug assign registry",
        {"m.py": "R=[1]\n", "n.py": "from paper_tiny.m import R\nR += [16]\n"},
        "import paper_tiny.n\nfrom paper_tiny.m import R|||R",
        "n.py",
        "16",
        "17",
        True,
    ),
    (
        "decorator registry side effects",
        {
            "m.py": "R={}\ndef reg(f):\n    R[f.__name__]=f\n    return f\n",
            "n.py": "from paper_tiny.m import reg\n@reg\ndef f(): return 16\n",
        },
        "import paper_tiny.n\nfrom paper_tiny.m import R|||R",
        "n.py",
        "16",
        "17",
        True,
    ),
    (
        "walrus",
        {"m.py": "print(w := 16)\n"},
        "from paper_tiny.m import w|||w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "del",
        {"m.py": "w = 16\nu = w\ndel w\n"},
        "from paper_tiny.m import u|||u",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "match",
        {"m.py": "import sys\nmatch sys.platform:\n    case 'linux': w=16\n    case _: w=1\n"},
        "from paper_tiny.m import w|||w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "match capture binding",
        {"m.py": "match 16:\n    case w: pass\n"},
        "from paper_tiny.m import w|||w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "except as / with as",
        {"m.py": "import contextlib\nwith contextlib.nullcontext(16) as w: pass\n"},
        "from paper_tiny.m import w|||w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "global stmt",
        {"m.py": "w=1\ndef s():\n    global w\n    w=16\ns()\n"},
        "from paper_tiny.m import w|||w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "nested fstring",
        {"m.py": "def f(x): return f'{x!r:>{16}}'\n"},
        "from paper_tiny.m import f|||f(1)",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "fstring conversion",
        {"m.py": "def f(x): return f'{x!r}'\n"},
        "from paper_tiny.m import f|||f(1)",
        "m.py",
        "!r",
        "!s",
        True,
    ),
    (
        "sys.path import",
        {"vendored/lib.py": "w=16\n"},
        "import sys\nsys.path.insert(0, __file__[:-8] + 'vendored')\nimport lib|||lib.w",
        "vendored/lib.py",
        "16",
        "17",
        True,
    ),
    (
        "from sys import modules",
        {"m.py": "w=16\n"},
        "import paper_tiny.m\nfrom sys import modules|||modules['paper_tiny.m'].w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "pydoc.locate",
        {"m.py": "w=16\n"},
        "import pydoc|||pydoc.locate('paper_tiny.'+'m').w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "locals() at module level",
        {"m.py": "w=16\nR=[locals()['w']]\n"},
        "from paper_tiny.m import R|||R",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "__globals__",
        {"m.py": "w=16\ndef f(): pass\n"},
        "from paper_tiny.m import f|||f.__globals__['w']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "__dict__",
        {"m.py": "w=16\n"},
        "from paper_tiny import m|||m.__dict__['w']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "__dict__ with getattr",
        {"m.py": "w=16\ndef __getattr__(n): return 1\n"},
        "from paper_tiny import m|||m.__dict__['w']",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "module __getattr__ table",
        {"m.py": "T={'w':16}\ndef __getattr__(n): return T[n]\n"},
        "from paper_tiny import m|||m.w",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "ctx set in an assignment",
        {
            "m.py": "class S:\n    def set(self,v): self.v=v\ns=S()\n",
            "n.py": "from paper_tiny.m import s\n_ = s.set(16)\n",
        },
        "import paper_tiny.n\nfrom paper_tiny.m import s|||s.v",
        "n.py",
        "16",
        "17",
        True,
    ),
    (
        "package attr vs submodule",
        {"a/__init__.py": "late = None\nfrom . import late\n", "a/late.py": "w=16\n"},
        "from paper_tiny.a import late|||late.w",
        "a/late.py",
        "16",
        "17",
        True,
    ),
    (
        "package attr vs submodule 2",
        {"a/__init__.py": "late = None\n", "a/late.py": "w=16\n"},
        "import paper_tiny.a.late|||paper_tiny.a.late.w",
        "a/late.py",
        "16",
        "17",
        True,
    ),
    (
        "literal + built import",
        {"m.py": "w=16\n", "n.py": ""},
        "import importlib|||importlib.import_module('paper_tiny.n')\n"
        "importlib.util.spec_from_file_location('x', '/m'+'.py')",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "subprocess script by name",
        {"prep.py": "w=16\n"},
        "import subprocess, sys|||subprocess.run([sys.executable, "
        "__file__.replace('train.py','prep.py')])",
        "prep.py",
        "16",
        "17",
        True,
    ),
    (
        "subprocess -m",
        {"prep.py": "w=16\n"},
        "import subprocess, sys|||subprocess.run([sys.executable, '-m', 'paper_tiny.prep'])",
        "prep.py",
        "16",
        "17",
        True,
    ),
    (
        "outside dir f-string",
        {"../tables/a.csv": "16"},
        "from pathlib import Path|||(Path(__file__).parents[1] / 'tables' / "
        "f'{run}.csv').read_text()",
        "../tables/a.csv",
        "16",
        "17",
        True,
    ),
    (
        "outside glob",
        {"../tables/a.csv": "16"},
        "from pathlib import Path|||list(Path(__file__).parents[1].glob('**/*.csv'))",
        "../tables/a.csv",
        "16",
        "17",
        True,
    ),
    (
        "config default",
        {
            "config.py": "from research_train import TrainConfig\n"
            "class Config(TrainConfig):\n"
            "    x: int = 16\n"
        },
        "|||pass",
        "config.py",
        "16",
        "17",
        True,
    ),
    (
        "dataclass default",
        {"m.py": "from dataclasses import dataclass\n@dataclass\nclass D:\n    x: int = 16\n"},
        "from paper_tiny.m import D|||D()",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "importlib.resources json",
        {"t.json": "16"},
        "from importlib.resources import files|||files('paper_tiny').joinpath('t.json')",
        "t.json",
        "16",
        "17",
        True,
    ),
    (
        "parent relative",
        {"a/__init__.py": "", "a/b.py": "from .. import m\nu=m.w\n", "m.py": "w=16\n"},
        "from paper_tiny.a.b import u|||u",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "code in parent __init__",
        {"a/__init__.py": "import torch\ntorch.manual_seed(16)\n", "a/b.py": "u=1\n"},
        "from paper_tiny.a.b import u|||u",
        "a/__init__.py",
        "16",
        "17",
        True,
    ),
    (
        "type alias runtime",
        {
            "m.py": "from typing import Literal, get_args\n"
            "K=Literal['16']\n"
            "def f(): return get_args(K)\n"
        },
        "from paper_tiny.m import f|||f()",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "singledispatch",
        {
            "m.py": "from functools import singledispatch\n"
            "@singledispatch\n"
            "def f(x): return 1\n"
            "@f.register\n"
            "def _(x: int): return 16\n"
        },
        "from paper_tiny.m import f|||f(1)",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "singledispatch annotation",
        {
            "m.py": "from functools import singledispatch\n"
            "@singledispatch\n"
            "def f(x): return 1\n"
            "@f.register\n"
            "def _(x: int): return 16\n"
        },
        "from paper_tiny.m import f|||f(1)",
        "m.py",
        "x: int",
        "x: str",
        True,
    ),
    (
        "builtins.eval",
        {"m.py": "w=16\n"},
        "import paper_tiny.m\nimport builtins|||builtins.eval('paper_tiny'+'.m.w')",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "lambda default/closure",
        {"m.py": "w=16\nf=lambda x, y=w: y\n"},
        "from paper_tiny.m import f|||f(1)",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "submodule of other paper file",
        {"m.py": "import os\nos.environ['X']='16'\n"},
        "import paper_tiny.m|||pass",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "class deco cache named property",
        {"m.py": "class A:\n    @property\n    def x(self): return 16\n"},
        "from paper_tiny.m import A|||A().x",
        "m.py",
        "16",
        "17",
        True,
    ),
    (
        "hidden file",
        {".vocab": "16"},
        "|||open(__file__.replace('train.py','.vocab'))",
        ".vocab",
        "16",
        "17",
        True,
    ),
    (
        "N comment in class",
        {"m.py": "class A:\n    x=1\n"},
        "from paper_tiny.m import A|||A()",
        "m.py",
        "x=1",
        "x=1  # c",
        False,
    ),
    (
        "N class docstring",
        {"m.py": "class A:\n    x=1\n"},
        "from paper_tiny.m import A|||A()",
        "m.py",
        "    x=1",
        "    'doc'\n    x=1",
        False,
    ),
    (
        "N new class with methods",
        {"m.py": "import torch\nfrom torch import nn\nclass A:\n    x=1\n"},
        "from paper_tiny.m import A|||A()",
        "m.py",
        "    x=1\n",
        "    x=1\n"
        "class N(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.x = nn.Linear(2,3)\n"
        "    @torch.no_grad()\n"
        "    def f(self, x): return x\n"
        "    @property\n"
        "    def y(self): return 1\n",
        False,
    ),
    (
        "N new dataclass",
        {"m.py": "from dataclasses import dataclass, field\nclass A:\n    x=1\n"},
        "from paper_tiny.m import A|||A()",
        "m.py",
        "    x=1\n",
        "    x=1\n"
        "@dataclass(frozen=True)\n"
        "class N:\n"
        "    a: int = 1\n"
        "    b: list = field(default_factory=list)\n",
        False,
    ),
    (
        "N string quotes, parens, unused import",
        {"m.py": "def f(): return ('a'  'b')\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "('a'  'b')",
        '"ab"',
        False,
    ),
    (
        "N import order",
        {"m.py": "import os\nimport sys\ndef f(): return os, sys\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "import os\nimport sys",
        "import sys\nimport os",
        False,
    ),
    (
        "N constant unused",
        {"m.py": "def f(): return 1\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "def f",
        "X = 3\ndef f",
        False,
    ),
    (
        "N __all__ in used module (named import)",
        {"m.py": "__all__=['f']\ndef f(): return 1\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "['f']",
        "['f','g']",
        False,
    ),
    (
        "N new enum",
        {"m.py": "from enum import Enum\ndef f(): return 1\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "def f",
        "class E(Enum):\n    A=1\ndef f",
        False,
    ),
    (
        "N new abc class",
        {"m.py": "import abc\ndef f(): return 1\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "def f",
        "class E(metaclass=abc.ABCMeta):\n    A=1\ndef f",
        False,
    ),
    (
        "N new typeddict",
        {"m.py": "from typing import TypedDict\ndef f(): return 1\n"},
        "from paper_tiny.m import f|||f()",
        "m.py",
        "def f",
        "class E(TypedDict, total=False):\n    A: int\ndef f",
        False,
    ),
]
