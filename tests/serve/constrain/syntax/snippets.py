"""Sources in every language with a grammar, rich in what makes parsing hard: ambiguity, scanners with memory, nesting."""

SOURCES: dict[str, tuple[str, ...]] = {
    "python": (
        '''from __future__ import annotations
import os, sys


@decorator(1, *args, key=lambda x: x[1:])
class Box(Base, metaclass=Meta):
    """Doc with "quotes", and a
    second line.
    """

    size: int = 0

    async def grow(self, by: int = 1, *, deep: bool = False) -> int:
        async with self.lock as held, other:
            for i, (a, b) in enumerate(zip(xs, ys)):
                if a < b < c and not (d or e):
                    yield [x async for x in y if x]
                elif a: pass
                else:
                    continue
        try:
            print(f"{self.size!r:>{width}} {{}} {'nested'}", file=sys.stderr)
        except (ValueError, TypeError) as error:
            raise RuntimeError(rb"\\d") from error
        finally:
            del self.cache[1:2, ...]
        return (await self.rest()) if deep else -self.size ** 2


match command.split():
    case [Point(x=0, y=_), *rest] if rest:
        x = {**a, "b": 1, 'c': {1, 2}}
    case _:
        print = 1; match = 2
type Alias[T] = list[T]
if (n := len(a)) > 10: a \\
    = 0x_ff + 1_000j
''',
    ),
    "javascript": (
        """import fs, { readFile as read } from 'fs';
export default class Store extends Base {
  static #count = 0;
  get size() { return this.#items?.length ?? 0 }
  async *[Symbol.iterator]() { yield* other(); }
}
const f = async ({ a, b: [c = 1, ...d] }, ...rest) => ({ ...a, [c]: d / 2 / 1 });
let re = /[/\\]]+(?<name>x)/giu, t = `a${ `b${1 + 1}` }c`
label: for (const x of xs) { if (x) continue label; else break }
var a = b
(function () { return })()
++a
do a--; while (a > 0) b = a ? x => y : z
switch (a) { case 1: default: throw new Error("x") }
try { a } catch { } finally { }
<View a={1} {...b}>text {c} <br/> &amp; </View>
// last
""",
    ),
    "typescript": (
        """import type { A } from "./a";
export abstract class Store<T extends { id: number } = any> implements I<T>, J {
  private readonly items: Map<string, T[]> = new Map<string, T[]>();
  constructor(public a?: string, ...rest: number[]) { super(); }
  add<K extends keyof T>(item: T[K]): asserts item is NonNullable<T[K]>;
  @dec() method(this: Store<T>): void { (<any>this).x = a as unknown as B; b!.c!(); }
}
type Fn = (a: number, b?: string) => a is string;
type M<T> = { readonly [K in keyof T]?: T[K] extends infer U ? U : never };
enum Color { Red = 1, Green = "g" }
declare module "x" { function f(a: number): string; }
namespace N { export const x = a < b, y = f<number>(c) }
let v = <T,>(x: T) => x satisfies unknown;
function over(a: string): void
function over(a: any) { return a < 1 && a > 2 }
""",
    ),
    "tsx": (
        """export function View<T,>({ title, items }: { title: string; items: T[] }): JSX.Element {
  const [state, setState] = useState<Map<string, number>>(new Map());
  return (
    <>
      <h1 className={`a ${title}`}>{title} isn't "it"</h1>
      {items.map((item, i) => <Item<T> key={i} value={item} render={() => <b>{i}</b>} />)}
      {/* comment */}
      {state.size > 0 ? <p>text</p> : null}
    </>
  );
}
""",
    ),
    "go": (
        """package main

import (
	"fmt"
	m "math"
)

type Pair[K comparable, V any] struct {
	Key K `json:"key"`
	val V
	*Embedded
}

func (p *Pair[K, V]) Get(xs ...int) (v V, err error) {
	defer func() { recover() }()
	for i, x := range xs {
		if y := f(x); y > 1 {
			goto end
		} else if v, ok := z.(int); ok {
			ch <- v
		}
	}
	switch t := z.(type) {
	case int, string:
		fallthrough
	default:
	}
	select {
	case v := <-ch:
	}
end:
	return Pair[K, V]{Key: 1}, nil
}

var raw = `raw
string`

const (
	A = iota << 1
	B
)
""",
    ),
    "rust": (
        """#![allow(dead_code)]
//! doc
use std::{collections::HashMap, fmt::{self, Display}};

/// Doc /* nested */
#[derive(Debug, Clone)]
pub struct Point<'a, T: 'a + Copy = i32> where T: Display { pub x: &'a T, y: Option<Box<dyn Fn(i32) -> i32>> }

impl<'a, T> fmt::Display for Point<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = vec![1; 3].iter().map(|x| x + 1).collect::<Vec<_>>();
        match self.x { Some(n @ 1..=5) if n > 2 => {}, Foo::Bar { a, .. } | _ => return Ok(()) }
        let c = 'a'; let l: &'static str = r#"raw "str""#; /* a /* b */ c */
        if let Some(x) = y && x < 3 { loop { break 'outer x } }
        x as usize < y; (a)(b)?; a.0.1.await
    }
}
macro_rules! m { ($($x:expr),* $(,)?) => { $( f($x); )* }; }
async unsafe fn go<const N: usize>() -> impl Iterator<Item = u8> { println!("{}", b'x') ; [0u8; N] }
""",
    ),
    "java": (
        """package a.b;

import static java.util.List.*;

@Target({A, B})
public sealed class Main<T extends Comparable<? super T>> extends Base implements I permits C {
    private final Map<String, List<int[]>> map = new HashMap<>() {{ put("a", null); }};

    @Override
    public <R> R apply(Function<? super T, ? extends R> f, int... xs) throws IOException {
        for (int i = 0, j = 1; i < xs.length && i > j; i++) { continue; }
        Runnable r = () -> System.out.println((String) x + -1), s = Main::<Integer>go;
        int k = switch (x) { case 1, 2 -> 3; default -> { yield 4; } };
        if (o instanceof Point(int a, var b) && a < b) synchronized (this) { return null; }
        String t = \"\"\"
            text "block"
            \"\"\";
        try (var in = open()) { } catch (A | B e) { throw e; } finally { }
        return (T) (a < b ? c : d);
    }

    enum E { A(1) { void f() {} }, B; E(int x) {} }
    record P(int x, int y) {}
}
""",
    ),
    "c": (
        """#include <stdio.h>
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#if defined(X) && X > 1
typedef struct node { int x : 3; struct node *next; union { int a; float b; }; } node_t;
#elif 1
#else
#endif

static inline int (*table[])(const char *, ...) = { [0] = f, g };

int main(int argc, char **argv) {
    a * b;
    node_t *n = (node_t *)malloc(sizeof(*n)), arr[3] = { .x = 1 };
    for (unsigned i = 0; i < 10; ++i) { if (a) goto out; else continue; }
    switch (x) { case 'a': case 2: break; default: ; }
    do { x = y ? -1 : ~2; } while (0);
    printf("%d\\n" "more", (a)(b), (int)(c), a << 2 >> 1);
out:
    return x->y.z[1];
}
""",
    ),
    "cpp": (
        """#include <vector>
namespace a::b { using namespace std; }
template <typename T, int N = 3, typename... Ts>
class Stack final : public Base<T>, private virtual Other {
public:
    explicit Stack(const T& v = T{}) noexcept : x_(v), y_{1} {}
    virtual ~Stack() = default;
    template <class U> auto get(U&& u) const -> decltype(u) { return std::forward<U>(u); }
    bool operator<(const Stack& o) const { return a < b && c > d; }
private:
    std::vector<std::map<int, T>> items_;
    enum class E : char { A, B = 2 };
};
int main() {
    auto f = [&, x = 1](auto... args) mutable { return (args + ...); };
    for (auto& [k, v] : m) if (int y = f(k); y) throw std::runtime_error(R"(raw "x")");
    Stack<int, (3 > 2)> s(a * b); T x(); new int[3]{1, 2};
    static_cast<void>(a < b > (c));
    co_return;
}
template <> struct S<int*> { int a[] = {1, 2}; };
concept C = requires(T t) { { t.x } -> std::same_as<int>; };
""",
    ),
    "c-sharp": (
        """using System;
namespace A.B;
[Serializable]
public abstract partial class Store<T> : Base, IFoo<T> where T : class, new()
{
    private readonly Dictionary<string, List<int>> items = new();
    public int Count { get; private set; } = 1;
    public string this[int i] => $"a{i:x}{(i > 1 ? "b" : $"{i}")} {{}}";
    public event EventHandler? Changed;
    public async Task<int?> Get<U>(ref int a, params object[] rest)
    {
        await foreach (var (x, y) in Items()) { if (x is not null and > 3) continue; }
        var q = from i in items where i.Value.Count < 3 orderby i.Key select new { i.Key };
        var s = @"verbatim ""x\"\"" + 'c' + a?.b?[1] ?? default(int);
        Func<int, int> f = static x => x switch { < 1 => 2, var z when z > 3 => 4, _ => throw new Exception() };
        using var r = Open(); lock (this) { checked { a++; } }
        return (T)(object)a < (b) ? c : d;
    }
    ~Store() { }
    public static Store<T> operator +(Store<T> a, int b) => a;
}
public record Point(int X, int Y) { public void Deconstruct(out int x) => x = X; }
""",
    ),
    "ruby": (
        """# frozen_string_literal: true
require 'set'

module A::B
  class Box < Struct.new(:a, :b)
    attr_reader :size
    CONST = %w[a b #{c}].freeze

    def grow(by = 1, *rest, key: 2, **opts, &block)
      return unless by > 0 && !rest.empty?
      puts "a #{by + "x#{1}"} b", 'c', :"sym #{d}", /re#{1}\\/x/i, ?a
      text = <<~EOS + <<-'RAW'
        line #{by}
        other
      EOS
        raw #{no}
        RAW
      case by
      when 1, 2 then yield by
      else by.each { |x, (y, z)| x << y }
      end
      begin
        work
      rescue ArgumentError, TypeError => e
        retry if (n += 1) < 3
      ensure
        @a ||= { a: 1, "b" => -> (x) { x / 2 } }
      end
      a / b / c
      x = if by then 1 else 2 end
      foo a, b do |i| i end
      while x do x -= 1 end
    end

    def self.make = new(1)
  end
end
case {a: 1}
in {a: Integer => n} then n
end
""",
    ),
    "php": (
        """<html><?php
declare(strict_types=1);
namespace A\\B;
use C\\{D, E as F};

#[Attr(1)]
abstract class Box extends Base implements I, J {
    use T { a as protected b; }
    const X = 1, Y = self::X . 'y';
    public function __construct(private readonly ?int $a = null, string|int ...$rest) {}
    public static function make(array &$xs): static {
        foreach ($xs as $k => [$a, 'b' => $b]) { if ($a <=> $b): continue; endif; }
        $s = "a $xs[0] {$this->b['c']} ${d}" . <<<EOT
          text $a {$b->c()}
          EOT . <<<'RAW'
        raw $x
        RAW;
        $f = fn(int $x): int => match(true) { $x > 1, $x < 0 => 2, default => throw new E() };
        return new class(1) extends Box { } ?? $a?->b::$c[1](...);
    }
}
function &gen() { yield 1 => 2; yield from x(); static $a = 1; global $b; }
?>
<p><?= $x ?></p>
<?php r\\or(l()); A\\list\\print::x(); if ($a): ?> text <?php else: ?> more <?php endif; ?>
""",
    ),
    "bash": (
        """#!/bin/bash
set -euo pipefail
function greet() {
  local name="${1:-world}" n=$((1 + 2 * (3)))
  echo "Hello, ${name^^} $(basename "$0" | sed 's/x/y/') `date`" >&2
}
if [[ "$a" == *.txt && -f $b || $c =~ ^[0-9]+$ ]]; then
  for x in a "b c" {1..3} "${arr[@]}"; do greet "$x" & done
elif [ -z "$a" ]; then :; else exit 1; fi
case "$1" in
  -h | --help) usage ;;
  *) cat <<EOF | tee "$out"
text $a ${b} $(c)
EOF
  ;;
esac
while read -r line; do ((i++)); done < <(ls -la)
cat <<-'END'
	raw $x
	END
arr=(1 2 [5]=3)
x=$'a\\n' y=$"b" cmd --flag=1 >/dev/null 2>&1 || true
( cd / && ! ls ) && { echo; }
""",
        "for ((i = 0; i < 3; i++)); do echo $i; done\nuntil false; do break; done\nfoo() { bar; } 2>/dev/null\n",
    ),
    "json": (
        '{\n  "a": [1, -2.5e3, true, false, null, "x\\n\\u00e9"],\n  "b": {"c": {}, "d": []},\n  "": "é"\n}\n',
        "[]",
    ),
    "yaml": (
        """%YAML 1.2
---
# comment
name: app
"quoted key": 'it''s'
list:
  - a
  - b: 1
    c: [x, {y: z}, "w"]
  -
    - nested
anchor: &a
  k: v
merge:
  <<: *a
text: |
  line one
    indented

  last
folded: >-
  some
  words
? complex
: value
empty:
date: 2001-12-14
tag: !!str 1
...
---
second: doc
""",
        "- 1\n- plain text: with, stuff\n- multi\n  line\n",
    ),
    "toml": (
        """# comment
title = "x"
[a.b."c d"]
int = 1_000
float = -1.5e3
date = 1979-05-27T07:32:00Z
multi = \"\"\"
line "x" \\
  more\"\"\"
raw = '''a
b'''
arr = [ 1, 2,
  [ "x" ], # c
]
inline = { a = 1, b.c = "d" }
[[items]]
x.y = true
""",
    ),
    "html": (
        """<!DOCTYPE html>
<html lang="en">
<head><title>x &amp; y</title><meta charset=utf-8>
<script>if (a < b) { c("</p>"); }</script>
<style>p > a { color: red }</style></head>
<body class='a b'>
<!-- comment -- x -->
<p>one<p>two
<ul><li>a<li>b <br> <img src="x"></ul>
<custom-tag a="1" b></custom-tag>
<input disabled/>
</body>
</html>
""",
    ),
    "css": (
        """@import url("x.css") screen;
@charset "utf-8";
:root { --main: #fff; }
a:hover > .b ~ c + d::before, #id[attr^="x"]:not(.y):nth-child(2n + 1) {
  color: rgba(0, 0, 0, .5) !important;
  width: calc(100% - 2 * var(--w, 3px));
  background: url(data:x) no-repeat;
  /* comment */
}
@media screen and (min-width: 10px) { p { margin: -1em auto } }
@keyframes k { from { top: 0 } 50% { top: 1px } to { top: 2px } }
@supports (display: grid) { div { display: grid; } }
""",
    ),
}
