// Sets of stacks as shared cells, versions over them, and the memory of one call. snapshot.py explains both.
#pragma once

#include <stdlib.h>
#include <string.h>
#include "grammar.h"

enum {
    VERSIONS = 64,               // live versions; tree-sitter keeps 6
    DEPTH = 30000,               // cells on top of each other
    WIDTH = 64,                  // cells side by side
    UNITE_DEPTH = 400,
    SCANNER_BYTES = 1024,        // tree-sitter's own limit
    SCANNER_ROOM = 8192,         // what a scanner that ignores it may overwrite
    STEPS_AT_LEAST = 20000, STEPS_PER_BYTE = 400,
    CHUNK = 1 << 20, CHUNKS = 64, CHUNKS_KEPT = 8,
    UNITED = 256,                // unions remembered
    TABLE = 512,                 // cells known by what is in them, to begin with
    NO_LEX = 0xFFFF,             // the lex state that stands for "reduce, whatever follows"
};

enum { DEAD = 0, ACCEPTED = 1, UNCLEAR = -1, MALFORMED = -2, TOO_SMALL = -3 };

// A set of stacks with one state on top: the state, and the sets of stacks below it, by their states, each state once. Equal
// sets are one cell, so what an ambiguity multiplies is kept once.
typedef struct Cell Cell;
struct Cell {
    Cell* next;                  // in the table
    uint32_t number, depth;      // its place in the snapshot being written, from 1; the tallest stack
    uint16_t state, count;
    const Cell* below[];
};

typedef struct { const Cell* items[WIDTH]; int count; } Cells;

typedef struct { const Cell* stack; const uint8_t* scanner; uint32_t scanner_size; uint32_t position; } Version;

typedef struct { Version items[VERSIONS]; int count; } Versions;

typedef struct {
    TSLexer base;                // first: the callbacks get its address
    const uint8_t* text;
    uint32_t size, position, start, end, column_at, column, text_column;
    uint8_t width;
    bool marked, saw_end, file_start, whole;
    bool latin_1;                // parsing.LATIN_1_ONLY: a character beyond is shown as U+00FF
} Lexer;

typedef struct { uint16_t symbol; bool found, keyword, undecided; uint32_t end, scanner_size; const uint8_t* scanner; } Token;

typedef struct {
    const Language* language;
    Lexer lexer;
    uint8_t* text; uint32_t text_room;
    uint8_t* chunks[CHUNKS]; uint32_t chunk, chunk_used;
    Cell** table; uint32_t table_size, table_used;
    struct { const Cell *a, *b, *both; uint64_t call; } united[UNITED];
    uint64_t call;
    Versions waiting, seen, done;
    int64_t steps;
    bool unclear, accepted;
    uint8_t* fixed;              // per lex state and token: 0 not known, 1 may grow, 2 a literal that nothing can prolong
    uint32_t lex_states;
    char scanner_room[SCANNER_ROOM];
} Recogniser;

static void* take(Recogniser* r, uint32_t size) {
    size = (size + 7u) & ~7u;
    if (size > CHUNK) { r->unclear = true; return NULL; }
    if (r->chunk_used + size > CHUNK) {
        if (r->chunk + 1 >= CHUNKS) { r->unclear = true; return NULL; }
        r->chunk++;
        r->chunk_used = 0;
    }
    if (!r->chunks[r->chunk] && !(r->chunks[r->chunk] = malloc(CHUNK))) { r->unclear = true; return NULL; }
    void* at = r->chunks[r->chunk] + r->chunk_used;
    r->chunk_used += size;
    return at;
}

static bool clear_table(Recogniser* r, uint32_t size) {
    if (size != r->table_size) {
        Cell** table = realloc(r->table, size * sizeof *table);
        if (!table) return false;
        r->table = table;
        r->table_size = size;
    }
    memset(r->table, 0, size * sizeof *r->table);
    r->table_used = 0;
    return true;
}

static uint32_t slot_of(const Recogniser* r, uint16_t state, const Cell* const* below, uint32_t count) {
    uint64_t hash = state * 0x9E3779B97F4A7C15u;
    for (uint32_t i = 0; i < count; i++) hash = (hash ^ ((uintptr_t)below[i] >> 3)) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(hash >> 32) & (r->table_size - 1);
}

static void widen_table(Recogniser* r) {
    uint32_t old_size = r->table_size;
    Cell* all = NULL;
    for (uint32_t i = 0; i < old_size; i++)
        while (r->table[i]) {
            Cell* cell = r->table[i];
            r->table[i] = cell->next;
            cell->next = all;
            all = cell;
        }
    uint32_t used = r->table_used;
    if (!clear_table(r, old_size * 4)) { r->unclear = true; return; }
    r->table_used = used;
    while (all) {
        Cell* cell = all;
        all = cell->next;
        Cell** slot = &r->table[slot_of(r, cell->state, cell->below, cell->count)];
        cell->next = *slot;
        *slot = cell;
    }
}

// The one cell with this in it. `below` is in the order of its states.
static const Cell* cell_of(Recogniser* r, uint16_t state, const Cell* const* below, uint32_t count) {
    Cell** slot = &r->table[slot_of(r, state, below, count)];
    for (Cell* cell = *slot; cell; cell = cell->next)
        if (cell->state == state && cell->count == count && !memcmp(cell->below, below, count * sizeof *below)) return cell;
    uint32_t depth = 0;
    for (uint32_t i = 0; i < count; i++) depth = below[i]->depth > depth ? below[i]->depth : depth;
    if (state >= r->language->state_count || depth >= DEPTH) { r->unclear = true; return NULL; }
    Cell* cell = take(r, sizeof(Cell) + count * sizeof *below);
    if (!cell) return NULL;
    *cell = (Cell){.next = *slot, .depth = depth + 1, .state = state, .count = (uint16_t)count};
    if (count) memcpy(cell->below, below, count * sizeof *below);
    *slot = cell;
    if (++r->table_used > r->table_size) widen_table(r);
    return cell;
}

static const Cell* push(Recogniser* r, const Cell* below, uint16_t state) { return cell_of(r, state, &below, 1); }

// The stacks of two cells with the same state, in one.
static const Cell* unite(Recogniser* r, const Cell* a, const Cell* b, int level) {
    if (a == b) return a;
    uint32_t place = (uint32_t)((((uintptr_t)a >> 4) * 31 + ((uintptr_t)b >> 4)) % UNITED);
    if (r->united[place].call == r->call && r->united[place].a == a && r->united[place].b == b) return r->united[place].both;
    if (level > UNITE_DEPTH || r->steps-- <= 0 || a->count + b->count > WIDTH) { r->unclear = true; return NULL; }
    const Cell* below[WIDTH];
    uint32_t count = 0;
    int i = 0, j = 0;
    while (i < a->count || j < b->count) {
        const Cell* left = i < a->count ? a->below[i] : NULL;
        const Cell* right = j < b->count ? b->below[j] : NULL;
        if (left && right && left->state == right->state) {
            if (!(below[count++] = unite(r, left, right, level + 1))) return NULL;
            i++, j++;
        } else if (!right || (left && left->state < right->state)) {
            below[count++] = left, i++;
        } else {
            below[count++] = right, j++;
        }
    }
    const Cell* both = cell_of(r, a->state, below, count);
    if (!both) return NULL;
    r->united[place].a = a, r->united[place].b = b, r->united[place].both = both, r->united[place].call = r->call;
    return both;
}

static void gather(Recogniser* r, Cells* to, const Cell* cell) {     // each state once
    if (!cell) return;
    for (int i = 0; i < to->count; i++)
        if (to->items[i]->state == cell->state) {
            const Cell* both = unite(r, to->items[i], cell, 0);
            if (both) to->items[i] = both;
            return;
        }
    if (to->count == WIDTH) { r->unclear = true; return; }
    to->items[to->count++] = cell;
}

static int compare(const Version* a, const Version* b) {     // the order of versions in a snapshot
    if (a->position != b->position) return a->position < b->position ? -1 : 1;
    if (a->scanner_size != b->scanner_size) return a->scanner_size < b->scanner_size ? -1 : 1;
    int order = a->scanner_size ? memcmp(a->scanner, b->scanner, a->scanner_size) : 0;
    return order ? order : (int)a->stack->state - (int)b->stack->state;
}

static void add(Recogniser* r, Versions* to, Version version) {
    if (!version.stack) return;
    for (int i = 0; i < to->count; i++)
        if (compare(&to->items[i], &version) == 0) {
            const Cell* both = unite(r, to->items[i].stack, version.stack, 0);
            if (both) to->items[i].stack = both;
            return;
        }
    if (to->count == VERSIONS) { r->unclear = true; return; }
    to->items[to->count++] = version;
}
