// LIST-FEATURES: the Feature Description List (FDL) as a value, with its reader and its writer
// (draft-ietf-aft-socks-ext-00; the draft's gaps are closed as doc/wire.md says).
#pragma once

#include "socksify/socks5.hpp"

#include <string>
#include <vector>

namespace socksify {

/// TAG (draft-ietf-aft-socks-ext-00, The Feature Description List). 80-8F belong to the extension set named
/// by `80 00`.
enum class Tag : std::uint8_t {
    fdl = 0x00,
    socks = 0x01,
    address = 0x02,
    authentication = 0x03,
    command = 0x04,
    server = 0x10,
    extension = 0x80,
    end = 0xff,
};

constexpr std::uint8_t subtag_scope = 0x10; ///< of Tag::fdl

/// Value of `80 00`: the name of this project's extensions. Without it in a list, tags 80-8F and CMD A0-AF
/// mean nothing.
constexpr std::string_view extension_set = "socksify";
constexpr std::uint8_t subtag_extension_set = 0x00; ///< of Tag::extension
constexpr std::uint8_t subtag_pipelining = 0x01;    ///< of Tag::extension: one octet, an Ahead
constexpr std::uint8_t subtag_sessions = 0x02;      ///< of Tag::extension: see `SessionTerms`
constexpr std::uint8_t subtag_fast_open = 0x03;     ///< of Tag::extension: no value; see `fast_open`

/// Value of COMMAND-A1 and COMMAND-A2: of LISTEN and ACCEPT as listen.hpp has them.
constexpr std::uint8_t listen_version = 1;

/// Octets in the value of COMMAND-02: what BIND makes of its DST. Of a list without them nothing is known.
enum class BindFeature : std::uint8_t {
    honours_port = 0x01,   ///< DST.PORT is listened on, or the request fails
    peer_filter = 0x02,    ///< DST.ADDR is the only peer that may connect; zeros: any
    listen_address = 0x03, ///< DST.ADDR is what is listened on
};

/// What a server takes before it has answered what came earlier on the connection (doc/wire.md).
enum class Ahead : std::uint8_t {
    unsaid = 0,
    messages = 1, ///< greeting, password and request in one segment
    data = 2,     ///< and behind them what is for the destination
};

/// Value of `80 02`: lifetime (4), most (4).
struct SessionTerms {
    std::uint32_t lifetime = 0; ///< seconds that a token outlives its control connection
    std::uint32_t most = 0;     ///< sessions that one user may have; 0: not said

    friend bool operator==(const SessionTerms&, const SessionTerms&) = default;
};

/// Octets in the value of FDL-SCOPE: what else the answer would depend on.
enum class Scope : std::uint8_t { client_address = 0x01, authentication_method = 0x02, destination = 0x03 };

/// Subtags of Tag::server.
enum class ServerInfo : std::uint8_t { hostname = 0x01, url = 0x02, opaque_id = 0x03, load = 0x04 };

/// One TAG-SUBTAG("value"); the value is 0..255 octets inside the list that it came from.
struct Feature {
    std::uint8_t tag = 0;
    std::uint8_t subtag = 0;
    Bytes value;
};

/// What a list says of one thing. A list that has no entry at all under a tag says nothing of that tag's
/// things: "Servers may prefer not to advertise all the features they support" (Security Considerations).
enum class Support : std::uint8_t { unsaid, yes, no };

/// An FDL without its END. Everything is kept, also what nobody knows; a look-up is a walk over at most 64
/// KiB. Several entries with one TAG-SUBTAG count as one with all their values.
class FeatureList {
public:
    /// Appends one entry. `value` longer than 255 octets is cut. END is no entry: `encode` adds it, and one
    /// in the middle would hide the rest from every reader.
    void add(std::uint8_t tag, std::uint8_t subtag, Bytes value = {});
    void add(Tag tag, std::uint8_t subtag, Bytes value = {}) {
        add(static_cast<std::uint8_t>(tag), subtag, value);
    }

    [[nodiscard]] bool empty() const noexcept { return octets_.empty(); }
    [[nodiscard]] std::vector<Feature> entries() const;
    [[nodiscard]] bool has(Tag tag, std::uint8_t subtag) const noexcept;
    /// Whether some entry TAG-SUBTAG holds `octet` in its value.
    [[nodiscard]] bool has(Tag tag, std::uint8_t subtag, std::uint8_t octet) const noexcept;
    /// The first value of TAG-SUBTAG as text, as it was sent: it may hold control characters.
    [[nodiscard]] std::optional<std::string_view> text(Tag tag, std::uint8_t subtag) const noexcept;

    /// A command of this project's is a `no` unless the list has it and names the `extension_set`; LISTEN and
    /// ACCEPT are there together or not at all.
    [[nodiscard]] Support supports(Command command) const noexcept;
    /// The command of a request, or the type of its address, is a `no`.
    [[nodiscard]] bool rules_out(const Request& request) const noexcept {
        return supports(request.command) == Support::no ||
               supports(request.destination.host.type()) == Support::no;
    }
    [[nodiscard]] bool has(BindFeature feature) const noexcept {
        return has(Tag::command, 0x02, static_cast<std::uint8_t>(feature));
    }
    [[nodiscard]] Support supports(AddressType type) const noexcept;
    /// Likewise for a method of this project's.
    [[nodiscard]] Support supports(Method method) const noexcept;
    [[nodiscard]] Support supports_version(std::uint8_t ver) const noexcept;
    /// LIST-FEATURES may ask to hold the connection (COMMAND-10 holds an octet 01).
    [[nodiscard]] bool persistent() const noexcept { return has(Tag::command, 0x10, 0x01); }
    [[nodiscard]] bool depends_on(Scope scope) const noexcept {
        return has(Tag::fdl, subtag_scope, static_cast<std::uint8_t>(scope));
    }

    /// `80 01`, in a list that names the `extension_set`.
    [[nodiscard]] Ahead ahead() const noexcept;
    /// `80 03`, likewise: the server takes data that come with the SYN (RFC 7413).
    [[nodiscard]] bool fast_open() const noexcept;
    /// Whether sessions can be opened and used (session.hpp), and on which terms: `04 A0`, `03 A0`, `80 02`.
    [[nodiscard]] std::optional<SessionTerms> sessions() const noexcept;

    /// The list in wire form without END; `encode` adds it.
    [[nodiscard]] Bytes octets() const noexcept { return octets_; }
    /// The list in wire form, END ("FF 00 00") included.
    [[nodiscard]] std::vector<std::uint8_t> encode() const;

    friend bool operator==(const FeatureList&, const FeatureList&) = default;

private:
    friend class FeatureReader;
    [[nodiscard]] Support support(Tag tag, std::uint8_t subtag) const noexcept;
    [[nodiscard]] bool names_our_extensions() const noexcept;

    std::vector<std::uint8_t> octets_;
};

/// Reads an FDL as it arrives, in pieces of any size, within limits that a hostile server can't stretch.
class FeatureReader {
public:
    static constexpr std::size_t most_octets = 64 * 1024;
    static constexpr std::size_t most_entries = 4096;

    /// Takes octets of the list. `complete`: `size` of them belonged to it, the rest is somebody else's.
    /// `need_more`: all were taken, and at least `size` more must come. `malformed`: a limit was passed.
    Parsed<bool> feed(Bytes in);
    /// The server closed the connection. `complete` if the list may end here: at an END cut short, or between
    /// two entries when there was at least one (an answer of nothing at all is no list).
    [[nodiscard]] Outcome ended() const noexcept;
    /// Whether TAG FF has been seen, though its two octets are still lacking: a bare FF, as some may send.
    [[nodiscard]] bool saw_end() const noexcept { return !partial_.empty() && partial_.bytes()[0] == 0xff; }

    [[nodiscard]] FeatureList take() noexcept { return std::move(list_); }

private:
    FeatureList list_;
    Message<3 + 255> partial_; // the entry under way
    std::size_t entries_ = 0;
};

} // namespace socksify
