// The inner loop of the syntax recogniser: GLR without error recovery over a tree-sitter grammar's own tables.
//
// The same function as reference.py, snapshot for snapshot (tests compare them byte by byte). A plain C interface for ctypes:
// no header of Python or tree-sitter is needed. Nothing is kept between two calls but memory to reuse and what is fixed about
// the grammar, so the caller must not make two calls on one handle at the same time.
#include "cells.h"
#include "lexer.h"
#include "snapshot.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { INTERFACE = 3 };          // native.INTERFACE

// `count` states popped, and the state behind `symbol` pushed; an extra that ends where it began leaves no trace.
static Cells reduce(Recogniser* r, const Cell* stack, const Action* action, bool extra) {
    Cells at = {.count = 1}, made = {.count = 0};
    at.items[0] = stack;
    for (unsigned left = action->reduce.child_count; left && !r->unclear; left--) {
        Cells below = {.count = 0};
        for (int i = 0; i < at.count; i++) {
            if (!at.items[i]->count) r->unclear = true;
            for (int j = 0; j < at.items[i]->count; j++) gather(r, &below, at.items[i]->below[j]);
        }
        at.count = below.count;
        memcpy(at.items, below.items, (size_t)below.count * sizeof *below.items);
    }
    if (action->reduce.symbol >= r->language->symbol_count) r->unclear = true;
    for (int i = 0; i < at.count && !r->unclear; i++) {
        uint16_t state = lookup(r->language, at.items[i]->state, action->reduce.symbol);
        if (state) gather(r, &made, extra && state == at.items[i]->state ? at.items[i] : push(r, at.items[i], state));
    }
    return made;
}

static void finish_extra(Recogniser* r, const Version* v) {
    const Action* entry = r->language->parse_actions + lookup(r->language, v->stack->state, 0);
    for (int i = 1; i <= entry->entry.count; i++)
        if (entry[i].type == REDUCE) {
            Cells made = reduce(r, v->stack, &entry[i], true);
            for (int j = 0; j < made.count; j++) add(r, &r->waiting, (Version){made.items[j], v->scanner, v->scanner_size, v->position});
        }
}

static void read_anew(Recogniser* r, const Version* v, const Cells* stacks) {
    for (int i = 0; i < stacks->count; i++) add(r, &r->waiting, (Version){stacks->items[i], v->scanner, v->scanner_size, v->position});
}

// What `symbol` does to one stack; `next` becomes what goes on with it. Of several reductions that is the last; the others
// read the token anew, as they do in tree-sitter, since their state may have another lexer.
static void apply(Recogniser* r, const Version* v, const Token* token, const Cell* stack, uint16_t symbol, Cells* next) {
    const Language* l = r->language;
    const Action* entry = l->parse_actions + lookup(l, stack->state, symbol);
    next->count = 0;
    for (int i = 1; i <= entry->entry.count && !r->unclear; i++) {
        const Action* action = &entry[i];
        if (action->type == REDUCE) {
            Cells made = reduce(r, stack, action, false);
            if (!made.count) continue;
            read_anew(r, v, next);
            next->count = made.count;
            memcpy(next->items, made.items, (size_t)made.count * sizeof *made.items);
        } else if ((action->type == SHIFT && !action->shift.repetition) || action->type == ACCEPT) {
            read_anew(r, v, next);
            next->count = 0;
            if (action->type == SHIFT) {
                const Cell* shifted = action->shift.extra ? stack : push(r, stack, action->shift.state);
                add(r, &r->waiting, (Version){shifted, token->scanner, token->scanner_size, token->end});
            } else if (r->lexer.whole) {
                r->accepted = true;
            } else {
                // Before the end of the text: a scanner took a null byte for it, and so does tree-sitter, whatever follows.
                add(r, &r->done, *v);
            }
            return;
        }
    }
}

static bool acts(const Language* l, uint16_t state, uint16_t symbol) {
    const Action* entry = l->parse_actions + lookup(l, state, symbol);
    for (int i = 1; i <= entry->entry.count; i++)
        if (entry[i].type == REDUCE || entry[i].type == ACCEPT || (entry[i].type == SHIFT && !entry[i].shift.repetition)) return true;
    return false;
}

static void consume(Recogniser* r, const Version* v, const Token* token) {
    const Language* l = r->language;
    Cells stacks[2] = {{.count = 1}, {.count = 0}}, next;        // those it meets as it is, and as a plain word
    stacks[0].items[0] = v->stack;
    while (stacks[0].count + stacks[1].count && !r->unclear) {
        if (r->steps-- <= 0) { r->unclear = true; return; }
        int as_word = stacks[0].count == 0;
        const Cell* stack = stacks[as_word].items[--stacks[as_word].count];
        // A keyword that has no place here passes as a plain word, where that has one and the keyword is not reserved.
        if (token->keyword && !acts(l, stack->state, token->symbol) && !is_reserved(l, stack->state, token->symbol)) as_word = 1;
        apply(r, v, token, stack, as_word ? l->keyword_capture_token : token->symbol, &next);
        for (int i = 0; i < next.count; i++) gather(r, &stacks[as_word], next.items[i]);
    }
}

static bool was_seen(Recogniser* r, const Version* version) {
    Versions* seen = &r->seen;
    for (int i = 0; i < seen->count; i++)
        if (seen->items[i].stack == version->stack && compare(&seen->items[i], version) == 0) return true;
    if (seen->count == VERSIONS) r->unclear = true;
    else seen->items[seen->count++] = *version;
    return r->unclear;
}

// tree-sitter keeps the last token, and gives it to another version at the same place whose table says that it may: a word
// that is a keyword to the one passes as a name with the other. So every version is offered what the others have read there.
static bool takes(const Language* l, const Version* v, const Token* token) {
    if (!token->found || token->end <= v->position || mode_of(l, v->stack->state).external) return false;
    const Action* entry = l->parse_actions + lookup(l, v->stack->state, token->symbol);
    return entry->entry.count && entry->entry.reusable;
}

typedef struct { Version version; Token token; } Read;

static void share(Recogniser* r, const Read* made, Read* reads, int* count) {
    const Language* l = r->language;
    for (int i = 0; i < *count; i++) {
        const Read* other = &reads[i];
        const Version *v = &made->version, *w = &other->version;
        if (made->token.found && other->token.found && made->token.symbol == other->token.symbol) continue;
        if (v->scanner_size != w->scanner_size || (v->scanner_size && memcmp(v->scanner, w->scanner, v->scanner_size))) continue;
        if (takes(l, v, &other->token)) consume(r, v, &other->token);
        if (takes(l, w, &made->token)) consume(r, w, &made->token);
    }
    if (*count < VERSIONS) reads[(*count)++] = *made;
    else r->unclear = true;
}

static void run(Recogniser* r) {
    Read reads[VERSIONS];
    int count = 0;
    uint32_t at = 0;
    r->seen.count = 0;
    while (r->waiting.count && !r->unclear && !r->accepted) {
        int first = 0;
        for (int i = 1; i < r->waiting.count; i++)
            if (r->waiting.items[i].position < r->waiting.items[first].position) first = i;
        Version version = r->waiting.items[first];
        r->waiting.items[first] = r->waiting.items[--r->waiting.count];
        if (version.position != at) at = version.position, r->seen.count = count = 0;
        if (was_seen(r, &version)) continue;
        if (r->steps-- <= 0) { r->unclear = true; return; }
        Mode mode = mode_of(r->language, version.stack->state);
        if (mode.lex == NO_LEX) {
            finish_extra(r, &version);
            continue;
        }
        if (version.position == r->lexer.size && !r->lexer.whole) {
            add(r, &r->done, version);
            continue;
        }
        Read made = {version, lex(r, &version, mode)};
        if (made.token.undecided) {
            add(r, &r->done, version);
            continue;
        }
        if (made.token.found) consume(r, &version, &made.token);
        if (r->waiting.count || count) share(r, &made, reads, &count);
    }
}

EXPORT int dovetail_recogniser_interface(void) { return INTERFACE; }

EXPORT void dovetail_recogniser_close(Recogniser* r) {
    if (!r) return;
    for (int i = 0; i < CHUNKS; i++) free(r->chunks[i]);
    free(r->table);
    free(r->fixed);
    free(r->text);
    free(r);
}

EXPORT Recogniser* dovetail_recogniser_open(const Language* language, int latin_1) {
    if (!language || language->abi_version < 13 || language->abi_version > 15) return NULL;
    Recogniser* r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->language = language;
    r->lexer.latin_1 = latin_1 != 0;
    r->lexer.base = (TSLexer){0, 0, on_advance, on_mark_end, on_column, on_range_start, on_eof, on_log};
    for (uint32_t state = 0; state < language->state_count; state++) {
        Mode mode = mode_of(language, (uint16_t)state);
        if (mode.lex != NO_LEX && mode.lex >= r->lex_states) r->lex_states = mode.lex + 1u;
    }
    r->fixed = calloc((size_t)r->lex_states + 1, language->token_count);
    if (!r->fixed) {
        dovetail_recogniser_close(r);
        return NULL;
    }
    return r;
}

static int64_t answer(Recogniser* r, const uint8_t* snapshot, uint32_t size, const uint8_t* data, uint32_t data_size, bool whole,
                      uint8_t* out, int64_t room) {
    r->chunk = r->chunk_used = 0;
    r->call++;
    r->waiting.count = r->done.count = 0;
    r->unclear = r->accepted = false;
    r->steps = STEPS_AT_LEAST + (int64_t)STEPS_PER_BYTE * data_size;
    if (!clear_table(r, r->table_size > 8 * TABLE || !r->table_size ? TABLE : r->table_size)) return UNCLEAR;
    if (!decode(r, snapshot, size, data, data_size)) return r->unclear ? UNCLEAR : MALFORMED;
    r->lexer.whole = whole;
    run(r);
    if (whole && r->accepted) return ACCEPTED;
    if (r->unclear) return UNCLEAR;
    return whole || !r->done.count ? DEAD : encode(r, out, room);
}

// From a snapshot and the text behind it to the next one: its size, written to `out`; or one of the answers above. With
// `whole`, whether a file may end there: ACCEPTED or DEAD. TOO_SMALL: nothing is lost, call again with more room.
EXPORT int64_t dovetail_recogniser_feed(Recogniser* r, const uint8_t* snapshot, int64_t size, const uint8_t* data,
                                        int64_t data_size, int whole, uint8_t* out, int64_t room) {
    if (size < 0 || data_size < 0 || size > INT32_MAX || data_size > INT32_MAX) return MALFORMED;
    int64_t found = answer(r, snapshot, (uint32_t)size, data, (uint32_t)data_size, whole != 0, out, room);
    for (uint32_t i = CHUNKS_KEPT; i < CHUNKS && r->chunks[i]; i++) {
        free(r->chunks[i]);
        r->chunks[i] = NULL;
    }
    return found;
}
