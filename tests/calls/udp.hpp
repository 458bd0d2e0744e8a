// What the victims for UDP share.
#pragma once

#include "victim.hpp"

#include <sys/uio.h>

namespace victim {

inline int udp_socket(int family, int flags = 0) {
    const int fd = socket(family, SOCK_DGRAM | flags, 0);
    if (fd < 0) give_up("no UDP socket");
    return fd;
}

/// One message with the pieces and the address that sendmsg() and its kin take.
struct Message {
    std::vector<iovec> pieces;
    Address peer;
    std::array<char, 256> control{};
    mmsghdr header{};

    explicit Message(std::vector<std::string_view> words = {}) {
        for (const auto word : words) add(const_cast<char*>(word.data()), word.size());
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    void add(char* octets, std::size_t count) {
        pieces.push_back({octets, count});
        header.msg_hdr.msg_iov = pieces.data();
        header.msg_hdr.msg_iovlen = pieces.size();
    }
    void to(const Address& address) {
        peer = address;
        header.msg_hdr.msg_name = peer.get();
        header.msg_hdr.msg_namelen = peer.size;
    }
    void expect_source() {
        peer = {};
        header.msg_hdr.msg_name = peer.get();
        header.msg_hdr.msg_namelen = peer.size = sizeof peer.storage;
    }
    void expect_control() {
        header.msg_hdr.msg_control = control.data();
        header.msg_hdr.msg_controllen = control.size();
    }
    msghdr* get() { return &header.msg_hdr; }
    /// "from 203.0.113.80:7, 16 octets"
    [[nodiscard]] std::string source() const {
        if (header.msg_hdr.msg_name == nullptr) return "from nobody asked for";
        return "from " + text_of(peer) + ", " + std::to_string(header.msg_hdr.msg_namelen) + " octets";
    }
};

inline bool await_datagram(int fd, int timeout = patience) {
    pollfd readable{fd, POLLIN, 0};
    return poll(&readable, 1, timeout) == 1 && (readable.revents & POLLIN) != 0;
}

/// "recvfrom = 5 'hello' from 203.0.113.80:7, 16 octets". Waits for it, whatever the socket does.
inline long receive(int fd, const char* call = "recvfrom", int flags = 0, int timeout = patience) {
    std::array<char, 65536> octets;
    Address from;
    from.size = sizeof from.storage;
    ssize_t size = -1;
    do {
        if (timeout != 0 && !await_datagram(fd, timeout)) {
            say("%s: nothing comes", call);
            return -1;
        }
        size = recvfrom(fd, octets.data(), octets.size(), flags | MSG_DONTWAIT, from.get(), &from.size);
        // What woke us may not have been for us, as a datagram with a wrong checksum isn't.
    } while (size < 0 && errno == EAGAIN && timeout != 0);
    if (size < 0) return told(call, size);
    const auto shown = std::min<long>(size, 24);
    say("%s = %ld '%.*s' from %s, %u octets", call, static_cast<long>(size), static_cast<int>(shown),
        octets.data(), text_of(from).c_str(), from.size);
    return size;
}

/// Sends a word to `to`, or to the peer, and receives what comes back.
inline void exchange(int fd, std::string_view word, const Address* to = nullptr) {
    const auto sent = sendto(fd, word.data(), word.size(), 0, to != nullptr ? to->get() : nullptr,
                             to != nullptr ? to->size : 0);
    told("sendto", sent);
    if (sent >= 0) receive(fd);
}

} // namespace victim
