// Reads one token: the callbacks a grammar's lexers ask for text, their order, keywords. lexing.py, in C.
#pragma once

#include "cells.h"

static void look(Lexer* x) {
    uint32_t left = x->size - x->position;
    x->width = 1;
    if (!left) {
        x->saw_end = true;
        x->base.lookahead = 0;
        return;
    }
    const uint8_t* at = x->text + x->position;
    uint8_t c = at[0];
    if (c < 0x80) {
        x->base.lookahead = c;
        return;
    }
    x->base.lookahead = -1;
    if (c < 0xC2 || c > 0xF4) return;
    uint32_t need = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    int32_t point = c & (0x7F >> need);
    for (uint32_t i = 1; i < need; i++) {
        if (i >= left) {
            x->saw_end = true;
            return;
        }
        if (at[i] < low || at[i] > high) return;
        low = 0x80, high = 0xBF;
        point = (point << 6) | (at[i] & 0x3F);
    }
    x->base.lookahead = x->latin_1 && point > 0xFF ? 0xFF : point;
    x->width = (uint8_t)need;
}

static void on_advance(TSLexer* base, bool skip) {
    Lexer* x = (Lexer*)base;
    if (x->position >= x->size) {
        x->saw_end = true;
        return;
    }
    x->position += x->width;
    if (skip) x->start = x->position;
    look(x);
}

static void on_mark_end(TSLexer* base) {
    Lexer* x = (Lexer*)base;
    x->end = x->position;
    x->marked = true;
}

static bool on_eof(const TSLexer* base) {
    Lexer* x = (Lexer*)base;
    if (x->position < x->size) return false;
    x->saw_end = true;
    return true;
}

static bool on_range_start(const TSLexer* base) {
    const Lexer* x = (const Lexer*)base;
    return x->file_start && x->position == 0 && x->size > 0;
}

static void on_log(const TSLexer* base, const char* format, ...) {
    (void)base;
    (void)format;
}

static uint32_t width_at(const Lexer* x, uint32_t at) {      // bytes of the character there; 1 where it is none
    Lexer copy = *x;
    copy.position = at;
    look(&copy);
    return copy.width;
}

static bool mark_at_start(const Lexer* x) {
    return x->file_start && x->size >= 3 && memcmp(x->text, "\xEF\xBB\xBF", 3) == 0;
}

static uint32_t column_of(Lexer* x, uint32_t goal) {         // characters since the last line feed
    if (goal < x->column_at) x->column_at = 0, x->column = x->text_column;
    uint32_t at = x->column_at, column = x->column;
    if (at == 0 && goal >= 3 && mark_at_start(x)) at = 3;
    while (at < goal) {
        if (x->text[at] == '\n') column = 0, at++;
        else column++, at += width_at(x, at);
    }
    x->column_at = at, x->column = column;
    return column;
}

static uint32_t on_column(TSLexer* base) {
    Lexer* x = (Lexer*)base;
    return column_of(x, x->position);
}

static void go(Lexer* x, uint32_t position) {
    x->position = x->start = x->end = position;
    x->marked = false;
    x->base.result_symbol = 0;
    look(x);
    if (position == 0 && mark_at_start(x)) on_advance(&x->base, true);
}

static uint32_t ended(Lexer* x) { return x->marked ? x->end : x->position; }

// Characters that stand for all that may follow a literal: every ASCII one, and others of every kind that lexers tell apart.
static const char* const PROBES[] = {
    "\xC2\xA0", "\xC2\xAA", "\xC3\xA9", "\xC2\xB7", "\xCC\x81", "\xD9\xA0", "\xE2\x80\x8D", "\xE2\x80\xA8", "\xE2\x86\x92",
    "\xE2\x89\xA0", "\xE2\x88\x80", "\xE3\x80\x80", "\xE4\xB8\xAD", "\xEF\xBB\xBF", "\xEF\xBC\x88", "\xF0\x9F\x98\x80", "\xF0\x9D\x94\xB8",
};
enum { PROBE_COUNT = sizeof PROBES / sizeof *PROBES, LITERAL = 16 };

static bool grows(Recogniser* r, uint16_t lex_state, const char* literal, uint32_t size, const char* probe, uint32_t width) {
    uint8_t text[LITERAL + 8];
    Lexer saved = r->lexer;
    memcpy(text, literal, size);
    memcpy(text + size, probe, width);
    r->lexer.text = text;
    r->lexer.size = size + width;
    r->lexer.file_start = false;
    go(&r->lexer, 0);
    bool found = r->language->lex_fn(&r->lexer.base, lex_state);
    bool same = found && ended(&r->lexer) == size && r->lexer.position == size;
    uint16_t symbol = r->lexer.base.result_symbol;
    r->lexer = saved;
    return !same || symbol != saved.base.result_symbol;
}

// Whether the token just lexed, which ends where the text does, is a literal that no character can prolong.
static bool is_fixed(Recogniser* r, uint16_t lex_state) {
    Lexer* x = &r->lexer;
    uint16_t symbol = x->base.result_symbol;
    uint32_t end = ended(x);
    const char* name = r->language->symbol_names[symbol];
    if (end != x->size || x->position != x->size || end <= x->start || symbol == 0) return false;
    uint32_t size = end - x->start;
    if (lex_state >= r->lex_states || size > LITERAL || strlen(name) != size || memcmp(name, x->text + x->start, size)) return false;
    uint8_t* known = &r->fixed[(size_t)lex_state * r->language->token_count + symbol];
    if (!*known) {
        bool may_grow = false;
        for (int c = 0; c < 128 && !may_grow; c++) {
            char probe = (char)c;
            may_grow = grows(r, lex_state, name, size, &probe, 1);
        }
        for (int i = 0; i < PROBE_COUNT && !may_grow; i++)
            may_grow = grows(r, lex_state, name, size, PROBES[i], (uint32_t)strlen(PROBES[i]));
        *known = may_grow ? 1 : 2;
    }
    return *known == 2;
}

// A scanner is made anew for each question: some keep more than they serialise (bash its heredocs), and what one text left
// behind must not reach the next. Costs some 50 ns.
static uint32_t ask_scanner(Recogniser* r, const Version* v, uint16_t external, bool* found) {
    const Language* l = r->language;
    void* payload = l->scanner.create ? l->scanner.create() : NULL;
    uint32_t size = 0;
    l->scanner.deserialize(payload, v->scanner_size ? (const char*)v->scanner : NULL, v->scanner_size);
    *found = l->scanner.scan(payload, &r->lexer.base, l->scanner.states + (size_t)external * l->external_token_count);
    if (*found) size = l->scanner.serialize(payload, r->scanner_room);
    if (payload && l->scanner.destroy) l->scanner.destroy(payload);
    return size;
}

static bool scan(Recogniser* r, const Version* v, uint16_t external, bool recovering, Token* token) {
    const Language* l = r->language;
    Lexer* x = &r->lexer;
    bool found;
    go(x, v->position);
    uint32_t size = ask_scanner(r, v, external, &found), end = ended(x);
    if (!found) return false;
    if (x->base.result_symbol >= l->external_token_count || size > SCANNER_BYTES || end < v->position) { r->unclear = true; return false; }
    uint16_t symbol = l->scanner.symbol_map[x->base.result_symbol];
    if (symbol >= l->token_count) { r->unclear = true; return false; }
    bool same = size == v->scanner_size && (!size || memcmp(r->scanner_room, v->scanner, size) == 0);
    if (end <= v->position && same && (recovering || stays(l, v->stack->state, symbol))) return false;
    *token = (Token){.symbol = symbol, .found = true, .end = end, .scanner = v->scanner, .scanner_size = size};
    if (!same && size) {
        uint8_t* kept = take(r, size);
        if (!kept) return false;
        memcpy(kept, r->scanner_room, size);
        token->scanner = kept;
    }
    return true;
}

static void keyword(Recogniser* r, uint16_t state, Token* token) {
    const Language* l = r->language;
    Lexer* x = &r->lexer;
    bool saw_end = x->saw_end;
    go(x, x->start);
    if (l->keyword_lex_fn(&x->base, 0) && ended(x) == token->end && x->base.result_symbol < l->token_count &&
        (lookup(l, state, x->base.result_symbol) || is_reserved(l, state, x->base.result_symbol))) {
        token->symbol = x->base.result_symbol;
        token->keyword = token->symbol != l->keyword_capture_token;
    }
    x->saw_end = saw_end;
}

// The lexer of a mode. False: no token that the mode knows stands there.
static bool lex_inside(Recogniser* r, const Version* v, Mode mode, Token* token) {
    const Language* l = r->language;
    Lexer* x = &r->lexer;
    go(x, v->position);
    if (!l->lex_fn(&x->base, mode.lex)) return false;
    uint32_t end = ended(x);
    uint16_t symbol = x->base.result_symbol;
    if (symbol >= l->token_count || end < v->position) { r->unclear = true; return false; }
    *token = (Token){.symbol = symbol, .found = true, .end = end, .scanner = v->scanner, .scanner_size = v->scanner_size};
    if (x->saw_end && !x->whole && is_fixed(r, mode.lex)) x->saw_end = false;
    if (x->start > end) x->start = end;
    if (symbol && symbol == l->keyword_capture_token && (x->whole || !x->saw_end)) keyword(r, v->stack->state, token);
    return true;
}

// The token at a version. Where its own mode finds none, tree-sitter tries that of the error state. Only the scanner can find
// there what is of use here: a token that this state takes would be known to the lexer of its own mode.
static Token lex(Recogniser* r, const Version* v, Mode mode) {
    Lexer* x = &r->lexer;
    Token token = {.found = false};
    x->saw_end = false;
    bool found = mode.external && scan(r, v, mode.external, false, &token);
    if (!found && (x->whole || !x->saw_end)) found = lex_inside(r, v, mode, &token);
    uint16_t recovering = mode_of(r->language, 0).external;
    if (!found && recovering && (x->whole || !x->saw_end) && !r->unclear) scan(r, v, recovering, true, &token);
    token.undecided = x->saw_end && !x->whole;
    return token;
}
