#include "socksify/listen.hpp"

namespace socksify {
namespace {

constexpr std::size_t note_header = 3; // TYPE, SIZE

constexpr bool is_known(NoteType type) noexcept {
    return type == NoteType::peer || type == NoteType::gone || type == NoteType::backlog;
}

} // namespace

NoteMessage encode(const Note& note) noexcept {
    Message<longest_endpoint> peer;
    if (note.type == NoteType::peer) put_endpoint(peer, note.peer);
    NoteMessage out;
    out.put8(static_cast<std::uint8_t>(note.type));
    out.put16(static_cast<std::uint16_t>(shortest_note + peer.size())).put32(note.value);
    return out.put(peer);
}

Parsed<Note> parse_note(Bytes in) noexcept {
    if (in.size() < note_header) return need_more(note_header - in.size());
    Note note{static_cast<NoteType>(in[0]), 0, {}};
    const std::size_t size = get16(in.subspan(1));
    if (size > longest_note || size < (is_known(note.type) ? shortest_note : note_header)) return malformed();
    if (in.size() < size) return need_more(size - in.size());
    if (!is_known(note.type)) return complete(note, size);
    note.value = get32(in.subspan(note_header));
    if (note.type == NoteType::peer) {
        const auto peer = parse_endpoint(in.subspan(shortest_note, size - shortest_note));
        if (!peer) return malformed();
        note.peer = peer.value;
    }
    return complete(note, size);
}

} // namespace socksify
