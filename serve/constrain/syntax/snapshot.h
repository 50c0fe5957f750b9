// Snapshots read and written: snapshot.py, in C.
#pragma once

#include "cells.h"

static uint32_t read32(const uint8_t* at) { uint32_t value; memcpy(&value, at, 4); return value; }
static uint16_t read16(const uint8_t* at) { uint16_t value; memcpy(&value, at, 2); return value; }
static uint8_t* put32(uint8_t* at, uint32_t value) { memcpy(at, &value, 4); return at + 4; }

static uint8_t* put16(uint8_t* at, uint16_t value) { memcpy(at, &value, 2); return at + 2; }

enum { HEAD = 16, CELL_HEAD = 4, VERSION_HEAD = 12, ON_PREVIOUS = 0xFFFF };

typedef struct { const uint8_t* at; const uint8_t* end; } Reader;

static bool has(const Reader* reader, uint64_t size) { return (uint64_t)(reader->end - reader->at) >= size; }

static const Cell** decode_cells(Recogniser* r, Reader* from, uint32_t count) {
    if (count > CHUNK / 16) return NULL;
    const Cell** cells = take(r, count * (uint32_t)sizeof *cells);
    for (uint32_t made = 0; cells && made < count; made++) {
        if (!has(from, CELL_HEAD)) return NULL;
        uint16_t state = read16(from->at), width = read16(from->at + 2);
        const Cell* below[WIDTH];
        from->at += CELL_HEAD;
        if (width == ON_PREVIOUS) {
            if (!made) return NULL;
            width = 1;
            below[0] = cells[made - 1];
        } else {
            if (width > WIDTH || !has(from, 4u * width)) return NULL;
            for (uint32_t i = 0; i < width; i++, from->at += 4) {
                uint32_t number = read32(from->at);
                if (number >= made) return NULL;
                below[i] = cells[number];
                if (i && below[i]->state <= below[i - 1]->state) return NULL;
            }
        }
        if (!(cells[made] = cell_of(r, state, below, width))) return NULL;
    }
    return cells;
}

static bool decode(Recogniser* r, const uint8_t* snapshot, uint32_t size, const uint8_t* data, uint32_t data_size) {
    if (size < HEAD) return false;
    uint32_t tail = read32(snapshot), count = read32(snapshot + 12);
    if (tail > size - HEAD || (uint64_t)tail + data_size > UINT32_MAX / 2) return false;
    if (tail + data_size > r->text_room) {
        uint32_t room = (tail + data_size) * 2;
        uint8_t* text = realloc(r->text, room);
        if (!text) return false;
        r->text = text;
        r->text_room = room;
    }
    Reader from = {snapshot + HEAD, snapshot + size - tail};
    const Cell** cells = decode_cells(r, &from, count);
    if (!cells) return false;
    for (int left = snapshot[9]; left; left--) {
        if (!has(&from, VERSION_HEAD)) return false;
        uint32_t position = read32(from.at), number = read32(from.at + 4), scanner = read32(from.at + 8);
        from.at += VERSION_HEAD;
        if (position > tail || number >= count || scanner > SCANNER_BYTES || !has(&from, scanner)) return false;
        add(r, &r->waiting, (Version){cells[number], from.at, scanner, position});
        from.at += scanner;
    }
    if (from.at != from.end) return false;
    if (tail) memcpy(r->text, from.at, tail);
    if (data_size) memcpy(r->text + tail, data, data_size);
    Lexer* x = &r->lexer;
    x->text = r->text;
    x->size = tail + data_size;
    x->text_column = x->column = read32(snapshot + 4);
    x->column_at = 0;
    x->file_start = snapshot[8] != 0;
    return true;
}

typedef struct { uint8_t* at; uint8_t* end; uint32_t cells; } Writer;

static bool fits(const Writer* to, uint64_t size) { return (uint64_t)(to->end - to->at) >= size; }

// The cells of a stack that are not written yet, each behind all that is below it. DEAD: done; else why not.
static int encode_cells(Recogniser* r, Writer* to, const Cell* stack) {
    typedef struct { Cell* cell; uint32_t next; } Visit;
    Visit* path = take(r, (stack->depth + 1) * (uint32_t)sizeof *path);
    if (!path) return UNCLEAR;
    uint32_t length = 0;
    path[length++] = (Visit){(Cell*)stack, 0};
    while (length) {
        Visit* top = &path[length - 1];
        Cell* cell = top->cell;
        if (!cell->number && top->next < cell->count) {
            path[length++] = (Visit){(Cell*)cell->below[top->next++], 0};
            continue;
        }
        length--;
        if (cell->number) continue;
        if (!fits(to, CELL_HEAD + 4u * cell->count)) return TOO_SMALL;
        cell->number = ++to->cells;
        bool on_previous = cell->count == 1 && cell->below[0]->number + 1 == cell->number;
        to->at = put16(put16(to->at, cell->state), on_previous ? ON_PREVIOUS : cell->count);
        for (int i = 0; i < cell->count && !on_previous; i++) to->at = put32(to->at, cell->below[i]->number - 1);
    }
    return DEAD;
}

static int64_t encode(Recogniser* r, uint8_t* out, int64_t room) {
    Versions* done = &r->done;
    for (int i = 1; i < done->count; i++)                    // a handful: insertion sort
        for (int j = i; j > 0 && compare(&done->items[j], &done->items[j - 1]) < 0; j--) {
            Version swapped = done->items[j];
            done->items[j] = done->items[j - 1];
            done->items[j - 1] = swapped;
        }
    Lexer* x = &r->lexer;
    uint32_t base = done->items[0].position, tail = x->size - base;
    Writer to = {out + HEAD, out + room, 0};
    if (room < HEAD) return TOO_SMALL;
    for (int i = 0; i < done->count; i++) {
        int failed = encode_cells(r, &to, done->items[i].stack);
        if (failed) return failed;
    }
    for (int i = 0; i < done->count; i++) {
        const Version* v = &done->items[i];
        if (!fits(&to, VERSION_HEAD + (uint64_t)v->scanner_size)) return TOO_SMALL;
        to.at = put32(put32(put32(to.at, v->position - base), v->stack->number - 1), v->scanner_size);
        if (v->scanner_size) memcpy(to.at, v->scanner, v->scanner_size);
        to.at += v->scanner_size;
    }
    if (!fits(&to, tail)) return TOO_SMALL;
    if (tail) memcpy(to.at, x->text + base, tail);
    uint8_t* head = put32(put32(out, tail), column_of(x, base));
    *head++ = x->file_start && base == 0;
    *head++ = (uint8_t)done->count;
    put32(put16(head, 0), to.cells);
    return to.at - out + (int64_t)tail;
}
