"""What is seen in each language: definitions, calls, imports; on small files and on broken ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.agent.repo.extract import extract
from dovetail.agent.repo.facts import FileFacts, decode
from dovetail.agent.repo.languages import LANGUAGES, grammar, languages_of


def facts_of(path: str, source: str | bytes) -> FileFacts:
    content = source.encode() if isinstance(source, str) else source
    return decode(extract(content, languages_of(path)).encode(), path, "digest")


@dataclass(frozen=True)
class Case:
    path: str
    source: str
    definitions: set[tuple[str, str]]
    calls: set[tuple[str, str]]
    imports: set[tuple[str, str, str]]
    bases: frozenset[str] = frozenset()
    signatures: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()


CASES = [
    Case(
        "shop/cart.py",
        '''
import os.path
import numpy as np
from ..core import models, prices as p
from .tax import *

LIMIT = 3
type Rows = list[int]


class Cart(models.Base, Mixin):
    """A cart."""

    size: int = 0

    @cached(limit=1)
    def total(self, items: list[int], *, tax: float = 0.1) -> float:
        value = p.add(items)
        return self._round(value) + os.path.join(value)

    async def _round(self, value):
        def inner(x):
            return x
        return round(inner(value))
''',
        {
            ("constant", "LIMIT"),
            ("type", "Rows"),
            ("class", "Cart"),
            ("field", "Cart.size"),
            ("method", "Cart.total"),
            ("method", "Cart._round"),
            ("function", "Cart._round.inner"),
        },
        {("add", "p"), ("_round", "self"), ("join", "os.path"), ("round", ""), ("inner", ""), ("cached", "")},
        {
            ("os.path", "", ""),
            ("numpy", "", "np"),
            ("..core", "models", "models"),
            ("..core", "prices", "p"),
            (".tax", "*", ""),
        },
        frozenset({"Base", "Mixin"}),
        (
            "class Cart(models.Base, Mixin)",
            "def total(self, items: list[int], *, tax: float = 0.1) -> float",
            "async def _round(self, value)",
        ),
        frozenset({"_round"}),
        frozenset({"value", "items", "tax", "x", "limit"}),
    ),
    Case(
        "src/cart.js",
        """
import React, { useState as state, memo } from 'react';
import * as path from 'node:path';
import './style.css';
export * from './other';
export { a, b as c } from "./letters";
const fs = require('fs');
const { join, sep: separator } = require('./paths');

export const LIMIT = 3;
export default class Cart extends Base {
  #secret = 1;
  handle = (e) => this.total(e);
  total(items, ...rest) { const sum = add(items); return new Price(sum).rounded(); }
}
function helper({ size, depth: d }, [first]) { return fs.readFileSync(size, d, first); }
export const arrow = async (x) => { await helper(x); };
exports.named = function (a) { return a; };
const load = () => import('./lazy');
const view = <Cart size={1} />;
module.exports = { helper };
""",
        {
            ("constant", "LIMIT"),
            ("class", "Cart"),
            ("method", "Cart.handle"),
            ("method", "Cart.total"),
            ("function", "helper"),
            ("function", "arrow"),
            ("function", "named"),
            ("function", "load"),
            ("variable", "view"),
            ("variable", "fs"),
        },
        {("total", "this"), ("add", ""), ("Price", ""), ("readFileSync", "fs"), ("helper", ""), ("Cart", "")},
        {
            ("react", "default", "React"),
            ("react", "useState", "state"),
            ("react", "memo", "memo"),
            ("node:path", "", "path"),
            ("./style.css", "", ""),
            ("./other", "*", ""),
            ("./letters", "a", "a"),
            ("./letters", "b", "c"),
            ("fs", "", "fs"),
            ("./paths", "join", "join"),
            ("./paths", "sep", "separator"),
            ("./lazy", "", ""),
        },
        frozenset({"Base"}),
        ("class Cart extends Base", "total(items, ...rest)", "function helper({ size, depth: d }, [first])"),
        frozenset({"load", "view", "fs"}),
        frozenset({"items", "sum", "size", "d", "first", "rest"}),
    ),
    Case(
        "src/cart.ts",
        """
import type { Price } from '@/types';
import fs = require('fs');
export interface Shape<T> extends Solid { area(scale: number): number; name: string; }
export type Id = string | number;
enum Colour { Red }
namespace Geometry { export function twice(x: number): number { return x * 2; } }
export abstract class Cart extends Base<Price> implements Shape<Price> {
  private limit: number = 1;
  constructor(readonly owner: string) { super(); }
  abstract total(): Price;
  find<K extends keyof Price>(key: K): Price[K] { return this.lookup(key); }
}
export const load = async <T,>(id: Id): Promise<T> => get<T>(id);
function local() {}
export { local };
""",
        {
            ("interface", "Shape"),
            ("method", "Shape.area"),
            ("field", "Shape.name"),
            ("type", "Id"),
            ("enum", "Colour"),
            ("namespace", "Geometry"),
            ("function", "Geometry.twice"),
            ("class", "Cart"),
            ("field", "Cart.limit"),
            ("method", "Cart.constructor"),
            ("method", "Cart.total"),
            ("method", "Cart.find"),
            ("function", "load"),
            ("function", "local"),
        },
        {("lookup", "this"), ("get", "")},
        {("@/types", "Price", "Price"), ("fs", "", "fs")},
        frozenset({"Base", "Shape", "Solid"}),
        (
            "abstract class Cart extends Base<Price> implements Shape<Price>",
            "find<K extends keyof Price>(key: K): Price[K]",
            "interface Shape<T> extends Solid",
            "type Id = string | number",
        ),
        frozenset({"Colour", "limit"}),
        frozenset({"key", "id", "scale"}),
    ),
    Case(
        "src/view.tsx",
        """
import { Cart } from "./cart";
export function View(props: Props) { return <Cart items={props.items}><Row /></Cart>; }
""",
        {("function", "View")},
        {("Cart", ""), ("Row", "")},
        {("./cart", "Cart", "Cart")},
        frozenset(),
        ("function View(props: Props)",),
    ),
    Case(
        "shop/cart.go",
        """
package shop

import (
	"fmt"
	str "strings"
	. "example.com/shop/tax"
	_ "embed"
)

const Limit = 3
var hidden int

type Cart struct { Size int }
type Store interface { Get(id string) (Cart, error) }
type Id = string
type Handler func(int) error

func (c *Cart) Total(items []int, rate float64) (float64, error) {
	sum := add(items)
	for i, v := range items { fmt.Println(i, v) }
	return c.round(sum), nil
}
func New[T any](size int) *Cart { return &Cart{Size: size} }
""",
        {
            ("constant", "Limit"),
            ("variable", "hidden"),
            ("struct", "Cart"),
            ("interface", "Store"),
            ("method", "Store.Get"),
            ("type", "Id"),
            ("type", "Handler"),
            ("method", "Cart.Total"),
            ("function", "New"),
        },
        {("add", ""), ("Println", "fmt"), ("round", "c"), ("Cart", "")},
        {
            ("fmt", "", ""),
            ("strings", "", "str"),
            ("example.com/shop/tax", "*", ""),
            ("embed", "", ""),
        },
        frozenset(),
        (
            "func (c *Cart) Total(items []int, rate float64) (float64, error)",
            "func New[T any](size int) *Cart",
            "type Cart struct",
            "type Store interface",
            "const Limit = 3",
        ),
        frozenset({"hidden"}),
        frozenset({"sum", "items", "v", "i", "size"}),
    ),
    Case(
        "src/cart.rs",
        """
use crate::core::{models::Base, prices::{self, add as plus}};
use super::tax::*;
mod store;
pub const LIMIT: usize = 3;
pub struct Cart<T> { size: T }
pub enum Kind { A, B }
pub trait Total { fn total(&self, items: &[u32]) -> u32; }
type Id = u32;
impl<T> Total for Cart<T> {
    fn total(&self, items: &[u32]) -> u32 { let sum = plus(items); self.round(sum) + prices::more(sum) }
}
impl Cart<u8> { pub fn new(size: u8) -> Self { println!("{}", size); Cart { size } } }
macro_rules! shout { () => {} }
mod inner { pub fn deep() {} }
""",
        {
            ("constant", "LIMIT"),
            ("struct", "Cart"),
            ("enum", "Kind"),
            ("trait", "Total"),
            ("method", "Total.total"),
            ("type", "Id"),
            ("method", "Cart.total"),
            ("method", "Cart.new"),
            ("macro", "shout"),
            ("namespace", "inner"),
            ("function", "inner.deep"),
        },
        {("plus", ""), ("round", "self"), ("more", "prices"), ("println", ""), ("Cart", "")},
        {
            ("crate::core::models", "Base", "Base"),
            ("crate::core", "prices", "prices"),
            ("crate::core::prices", "add", "plus"),
            ("super::tax", "*", ""),
            ("mod store", "", "store"),
        },
        frozenset({"Total"}),
        ("pub struct Cart<T>", "fn total(&self, items: &[u32]) -> u32", "pub fn new(size: u8) -> Self"),
        frozenset({"Id"}),
        frozenset({"sum", "items"}),
    ),
    Case(
        "src/main/java/shop/Cart.java",
        """
package com.shop;

import com.shop.core.Price;
import com.shop.tax.*;
import static com.shop.core.Money.round;

public class Cart extends Base<Price> implements Total, Shape {
    private int size = 0;
    public static final int LIMIT = 3;
    public Cart(int size) { this.size = size; }
    @Override
    public Price total(List<Integer> items) throws Missing { Price sum = Adder.add(items); return round(new Price(sum)); }
    enum Kind { A }
    interface Inner extends Outer { void run(); }
    record Point(int x) {}
}
""",
        {
            ("class", "Cart"),
            ("field", "Cart.size"),
            ("field", "Cart.LIMIT"),
            ("method", "Cart.Cart"),
            ("method", "Cart.total"),
            ("enum", "Cart.Kind"),
            ("interface", "Cart.Inner"),
            ("method", "Cart.Inner.run"),
            ("class", "Cart.Point"),
        },
        {("add", "Adder"), ("round", ""), ("Price", ""), ("Override", "")},
        {("com.shop.core.Price", "", ""), ("com.shop.tax", "*", ""), ("com.shop.core.Money.round", "", "")},
        frozenset({"Base", "Total", "Shape", "Outer"}),
        (
            "public class Cart extends Base<Price> implements Total, Shape",
            "@Override public Price total(List<Integer> items) throws Missing",
        ),
        frozenset({"size"}),
        frozenset({"items", "sum"}),
    ),
    Case(
        "src/cart.c",
        """
#include <stdio.h>
#include "core/price.h"
#define LIMIT 3
#define TWICE(x) ((x) * 2)
struct cart { int size; };
typedef struct cart cart_t;
typedef int (*handler)(int);
enum kind { KIND_A, KIND_B };
static int hidden = 1;
int add(int a, int b);
static double *total(const struct cart *c, int *items) { double sum = add(items[0], 1); c->run(sum); return 0; }
""",
        {
            ("constant", "LIMIT"),
            ("macro", "TWICE"),
            ("struct", "cart"),
            ("type", "cart_t"),
            ("type", "handler"),
            ("enum", "kind"),
            ("constant", "kind.KIND_A"),
            ("constant", "kind.KIND_B"),
            ("variable", "hidden"),
            ("prototype", "add"),
            ("function", "total"),
        },
        {("add", ""), ("run", "c")},
        {("<stdio.h>", "", ""), ("core/price.h", "", "")},
        frozenset(),
        ("static double *total(const struct cart *c, int *items)", "int add(int a, int b)", "struct cart"),
        frozenset({"total"}),
        frozenset({"items", "sum", "c"}),
    ),
    Case(
        "src/cart.cpp",
        """
#include "cart.hpp"
namespace shop {
class Cart : public Base, private other::Mixin<int> {
 public:
  Cart(int size) : size_(size) {}
  virtual double total(const std::vector<int>& items) const;
  int size() const { return size_; }
};
template <typename T> T twice(T x) { return x * 2; }
using Id = int;
}
double shop::Cart::total(const std::vector<int>& items) const { auto sum = twice(items[0]); return util::round(sum); }
Cart* make() { return new Cart(3); }
""",
        {
            ("namespace", "shop"),
            ("class", "shop.Cart"),
            ("method", "shop.Cart.Cart"),
            ("prototype", "shop.Cart.total"),
            ("method", "shop.Cart.size"),
            ("function", "shop.twice"),
            ("type", "shop.Id"),
            ("method", "shop.Cart.total"),
            ("function", "make"),
        },
        {("twice", ""), ("round", "util"), ("Cart", "")},
        {("cart.hpp", "", "")},
        frozenset({"Base", "Mixin"}),
        ("double shop::Cart::total(const std::vector<int>& items) const", "T twice(T x)"),
        frozenset(),
        frozenset({"items", "sum", "x"}),
    ),
    Case(
        "Shop/Cart.cs",
        """
using System.Text;
using Money = Shop.Core.Money;
namespace Shop.Carts;

public interface ITotal { decimal Total(int[] items); }
public record Point(int X);
public class Cart<T> : Base<T>, ITotal {
    private readonly int _size = 0;
    public int Size { get; set; }
    public Cart(int size) { _size = size; }
    public decimal Total(int[] items) { var sum = Adder.Add(items); return Round(new Money(sum)); }
    enum Kind { A }
}
""",
        {
            ("interface", "ITotal"),
            ("method", "ITotal.Total"),
            ("class", "Point"),
            ("class", "Cart"),
            ("field", "Cart._size"),
            ("field", "Cart.Size"),
            ("method", "Cart.Cart"),
            ("method", "Cart.Total"),
            ("enum", "Cart.Kind"),
        },
        {("Add", "Adder"), ("Round", ""), ("Money", "")},
        {("System.Text", "", ""), ("Shop.Core.Money", "", "Money")},
        frozenset({"Base", "ITotal"}),
        ("public class Cart<T> : Base<T>, ITotal", "public decimal Total(int[] items)"),
        frozenset({"_size"}),
        frozenset({"items", "sum"}),
    ),
    Case(
        "lib/cart.rb",
        """
require 'json'
require_relative 'core/price'
module Shop
  LIMIT = 3
  class Cart < Core::Base
    include Comparable
    def total(items, rate: 1)
      sum = add(items)
      Price.new(sum).round
    end
    def self.empty
      new
    end
  end
end
""",
        {
            ("namespace", "Shop"),
            ("constant", "Shop.LIMIT"),
            ("class", "Shop.Cart"),
            ("method", "Shop.Cart.total"),
            ("method", "Shop.Cart.empty"),
        },
        {("add", ""), ("new", "Price"), ("include", ""), ("round", "Price.new()")},
        {("json", "", ""), ("./core/price", "", "")},
        frozenset({"Base", "Comparable"}),
        ("class Cart < Core::Base", "def total(items, rate: 1)", "def self.empty"),
        frozenset(),
        frozenset({"items", "sum", "rate"}),
    ),
    Case(
        "src/Cart.php",
        """<?php
namespace Shop\\Carts;

use Shop\\Core\\Price;
use Shop\\Core\\Money as Cash;
use Shop\\Tax\\{Rate, Zone as Area};
require_once __DIR__ . '/helpers.php';

interface Total { public function total(array $items): float; }
abstract class Cart extends Base implements Total {
    use Logged;
    const LIMIT = 3;
    private int $size = 0;
    public function total(array $items): float { $sum = add($items); return $this->round(Price::of($sum)) + (new Cash())->x; }
}
function helper(int $x) { return $x; }
""",
        {
            ("interface", "Total"),
            ("method", "Total.total"),
            ("class", "Cart"),
            ("constant", "Cart.LIMIT"),
            ("field", "Cart.size"),
            ("method", "Cart.total"),
            ("function", "helper"),
        },
        {("add", ""), ("round", "$this"), ("of", "Price"), ("Cash", "")},
        {
            ("Shop\\Core\\Price", "", ""),
            ("Shop\\Core\\Money", "", "Cash"),
            ("Shop\\Tax\\Rate", "", ""),
            ("Shop\\Tax\\Zone", "", "Area"),
            ("./helpers.php", "", ""),
        },
        frozenset({"Base", "Total", "Logged"}),
        ("abstract class Cart extends Base implements Total", "public function total(array $items): float"),
        frozenset({"size"}),
        frozenset({"items", "sum"}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_what_is_seen_of_a_file(case: Case) -> None:
    facts = facts_of(case.path, case.source)
    assert facts.errors == ()
    assert {(symbol.kind, symbol.qualified) for symbol in facts.definitions} == case.definitions
    calls = {(use.name, use.receiver) for use in facts.references if use.kind == "call"}
    assert case.calls <= calls
    assert {made[1:] for made in facts.imports} == case.imports
    assert {use.name for use in facts.references if use.kind == "base"} == case.bases
    assert set(case.signatures) <= {symbol.signature for symbol in facts.definitions}
    assert not (case.unused & facts.uses.keys())
    hidden = {symbol.name for symbol in facts.definitions if not symbol.exported and not symbol.parent.count(".")}
    assert case.hidden <= hidden


def test_every_language_has_a_case_and_a_grammar() -> None:
    assert {facts_of(case.path, case.source).language for case in CASES} == set(LANGUAGES)
    assert all(grammar(name).name == name for name in LANGUAGES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_broken_code_still_shows_what_stands_before_the_break(case: Case) -> None:
    lines = case.source.splitlines(keepends=True)
    broken = facts_of(case.path, "".join(lines[: max(2, len(lines) // 2)]) + "\n((( {{{ \x01\n")
    assert broken.errors and all(1 <= fault.line <= broken.lines + 1 for fault in broken.errors)
    assert broken.imports


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
@given(data=st.data())
def test_any_prefix_of_a_file_and_any_bytes_are_read(case: Case, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(case.source)))
    noise = data.draw(st.binary(max_size=12))
    content = case.source[:cut].encode() + noise
    facts = facts_of(case.path, content)
    if b"\0" in content:
        assert facts.skipped == "binary" and not facts.definitions
        return
    for symbol in facts.definitions:
        assert 1 <= symbol.line <= symbol.last_line <= max(facts.lines, 1)
        assert "\n" not in symbol.signature
    for use in facts.references:
        assert 1 <= use.line <= max(facts.lines, 1)
        assert not use.within or use.within in facts.by_qualified


def test_a_header_is_read_by_the_language_that_can() -> None:
    assert facts_of("a.h", "int add(int a, int b);\n").language == "c"
    assert facts_of("a.h", "namespace a { class B : public C { int x() const; }; }\n").language == "cpp"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"a = 1\0", "binary"), (b"x=1;" * 20_000, "minified")],
)
def test_what_is_no_source_is_left_out_and_said(content: bytes, why: str) -> None:
    assert facts_of("a.js", content).skipped == why


def test_deep_nesting_ends() -> None:
    facts = facts_of("a.py", "x = " + "(" * 3_000 + ")" * 3_000 + "\ndef last():\n    pass\n")
    assert facts.lines == 3
    nested = "".join(f"{'    ' * depth}def f{depth}():\n" for depth in range(60)) + "    " * 60 + "pass\n"
    assert facts_of("a.py", nested).definitions[-1].parent.count(".") == 58


def test_bytes_that_are_no_text_do_not_hide_the_rest() -> None:
    facts = facts_of("a.py", b"name = '\xff\xfe'\ndef after(): return name\n")
    assert [symbol.name for symbol in facts.definitions] == ["name", "after"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_a_file_cut_at_any_place_is_read(case: Case) -> None:
    for cut in range(len(case.source)):
        facts = facts_of(case.path, case.source[:cut] + ";")
        assert all(symbol.name for symbol in facts.definitions) and "" not in facts.uses
