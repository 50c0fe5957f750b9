// What a compiled tree-sitter grammar exports (its parser.h, ABI 13 to 15), and look-ups in it. Knows no text.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TSLexer TSLexer;
struct TSLexer {
    int32_t lookahead;
    uint16_t result_symbol;
    void (*advance)(TSLexer*, bool);
    void (*mark_end)(TSLexer*);
    uint32_t (*get_column)(TSLexer*);
    bool (*is_at_included_range_start)(const TSLexer*);
    bool (*eof)(const TSLexer*);
    void (*log)(const TSLexer*, const char*, ...);
};

typedef union {
    struct { uint8_t type; uint16_t state; bool extra; bool repetition; } shift;
    struct { uint8_t type; uint8_t child_count; uint16_t symbol; int16_t precedence; uint16_t production; } reduce;
    struct { uint8_t count; bool reusable; } entry;
    uint8_t type;
} Action;

enum { SHIFT, REDUCE, ACCEPT, RECOVER };

typedef struct {
    uint32_t abi_version, symbol_count, alias_count, token_count, external_token_count, state_count, large_state_count,
        production_id_count, field_count;
    uint16_t max_alias_sequence_length;
    const uint16_t* parse_table;
    const uint16_t* small_parse_table;
    const uint32_t* small_parse_table_map;
    const Action* parse_actions;
    const char* const* symbol_names;
    const void *field_names, *field_map_slices, *field_map_entries, *symbol_metadata, *public_symbol_map, *alias_map,
        *alias_sequences;
    const uint16_t* lex_modes;
    bool (*lex_fn)(TSLexer*, uint16_t);
    bool (*keyword_lex_fn)(TSLexer*, uint16_t);
    uint16_t keyword_capture_token;
    struct {
        const bool* states;
        const uint16_t* symbol_map;
        void* (*create)(void);
        void (*destroy)(void*);
        bool (*scan)(void*, TSLexer*, const bool*);
        unsigned (*serialize)(void*, char*);
        void (*deserialize)(void*, const char*, unsigned);
    } scanner;
    const void* primary_state_ids;
    const char* name;            // Not there before ABI 15, like all that follows.
    const uint16_t* reserved_words;
    uint16_t max_reserved_word_set_size;
} Language;

static uint16_t lookup(const Language* l, uint16_t state, uint16_t symbol) {
    if (state < l->large_state_count) return l->parse_table[(size_t)state * l->symbol_count + symbol];
    const uint16_t* data = l->small_parse_table + l->small_parse_table_map[state - l->large_state_count];
    for (uint16_t groups = *data++; groups; groups--) {
        uint16_t value = *data++, count = *data++;
        for (; count; count--)
            if (*data++ == symbol) return value;
    }
    return 0;
}

typedef struct { uint16_t lex, external, reserved; } Mode;

static Mode mode_of(const Language* l, uint16_t state) {
    if (l->abi_version < 15) return (Mode){l->lex_modes[2 * state], l->lex_modes[2 * state + 1], 0};
    return (Mode){l->lex_modes[3 * state], l->lex_modes[3 * state + 1], l->lex_modes[3 * state + 2]};
}

static bool is_reserved(const Language* l, uint16_t state, uint16_t symbol) {
    uint16_t set = mode_of(l, state).reserved;
    if (!set) return false;
    const uint16_t* words = l->reserved_words + (size_t)set * l->max_reserved_word_set_size;
    for (uint16_t i = 0; i < l->max_reserved_word_set_size && words[i]; i++)
        if (words[i] == symbol) return true;
    return false;
}

static bool stays(const Language* l, uint16_t state, uint16_t symbol) {  // whether shifting `symbol` leaves the state
    const Action* entry = l->parse_actions + lookup(l, state, symbol);
    if (!entry->entry.count) return false;
    const Action* last = entry + entry->entry.count;
    return last->type == SHIFT && (last->shift.extra || last->shift.state == state);
}
