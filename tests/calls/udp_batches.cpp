// Many datagrams by one call.
#include "udp.hpp"

#include <memory>

using namespace victim;

namespace {

/// Messages with a room, or a word, and an address each.
struct Many {
    std::vector<std::unique_ptr<Message>> messages;
    std::vector<std::string> octets;
    std::vector<mmsghdr> headers;

    explicit Many(std::size_t count) : octets(count), headers(count) {
        for (std::size_t i = 0; i < count; ++i) messages.push_back(std::make_unique<Message>());
    }
    void put(std::size_t i, std::string word, const Address* to = nullptr) {
        octets[i] = std::move(word);
        auto& message = *messages[i];
        message.pieces.clear();
        message.add(octets[i].data(), octets[i].size());
        if (to != nullptr) message.to(*to);
        headers[i] = message.header;
    }
    void expect(std::size_t i, std::size_t room, bool in_pieces = false) {
        octets[i].assign(room, '-');
        auto& message = *messages[i];
        message.pieces.clear();
        if (in_pieces) {
            message.add(octets[i].data(), 2);
            message.add(octets[i].data() + 2, room - 2);
        } else message.add(octets[i].data(), room);
        message.expect_source();
        headers[i] = message.header;
    }
    int send(int fd, int flags = 0) {
        return sendmmsg(fd, headers.data(), static_cast<unsigned>(headers.size()), flags);
    }
    int receive(int fd, int flags, timespec* timeout = nullptr) {
        return recvmmsg(fd, headers.data(), static_cast<unsigned>(headers.size()), flags, timeout);
    }
    [[nodiscard]] std::string told(std::size_t i) const {
        const auto size = headers[i].msg_len;
        const auto shown = std::min<std::size_t>(size, octets[i].size());
        return std::to_string(size) + " '" + octets[i].substr(0, std::min<std::size_t>(shown, 12)) + "'" +
               ((headers[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 ? " MSG_TRUNC" : "") + " from " +
               text_of(messages[i]->peer) + ", " + std::to_string(headers[i].msg_hdr.msg_namelen) + " octets";
    }
};

/// Receives until so many have come, by calls that take `most` each and don't wait, and says which: those of
/// one source in their order.
void receive_all(int fd, std::size_t wanted, std::size_t most, std::size_t room, bool in_pieces = false) {
    std::vector<std::pair<std::string, std::string>> all;
    while (all.size() < wanted && await_datagram(fd)) {
        Many in(most);
        for (std::size_t i = 0; i < most; ++i) in.expect(i, room, in_pieces);
        const int count = in.receive(fd, MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN) break; // EAGAIN: what woke us was not for us
        for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(count, 0)); ++i)
            all.emplace_back(text_of(in.messages[i]->peer), in.told(i));
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& one, const auto& other) { return one.first < other.first; });
    for (const auto& [source, line] : all) say("%s", line.c_str());
    say("came %zu", all.size());
}

std::string word_of(std::size_t i) {
    return i % 7 == 3 ? std::string() : std::to_string(i) + std::string(i % 11, '.');
}

/// DESTINATION: more than a batch takes, there and back, in rooms of all kinds.
void many(const Arguments& words) {
    const auto to = address_of(words[0]);
    for (const bool connects : {true, false})
        for (const int type : {0, 0 + SOCK_NONBLOCK}) {
            const int fd = udp_socket(to.family(), type);
            if (connects) told("connect", connect_to(fd, to));
            exchange(fd, "first", connects ? nullptr : &to);
            for (const std::size_t count : {1U, 2U, 31U, 32U, 33U, 50U}) {
                Many out(count);
                for (std::size_t i = 0; i < count; ++i) out.put(i, word_of(i), connects ? nullptr : &to);
                told("sendmmsg", out.send(fd));
                std::size_t sum = 0;
                for (const auto& header : out.headers) sum += header.msg_len;
                say("lengths %zu", sum);
                receive_all(fd, count, 40, count == 33 ? 3 : 64, count == 32);
            }
            close(fd);
        }
}

/// DESTINATION OTHER: in turn, with one that can't be sent among them.
void mixed(const Arguments& words) {
    const Address to[]{address_of(words[0]), address_of(words[1])};
    const int fd = udp_socket(to[0].family());
    Many out(12);
    for (std::size_t i = 0; i < 12; ++i) out.put(i, word_of(i), &to[i % 2]);
    told("sendmmsg", out.send(fd));
    receive_all(fd, 12, 1, 64);
    const auto refused = [&](const char* what, auto spoil) {
        for (std::size_t at : {0U, 1U, 5U, 11U}) {
            Many again(12);
            for (std::size_t i = 0; i < 12; ++i) again.put(i, word_of(i), &to[i % 2]);
            spoil(again, at);
            told(what, again.send(fd));
            receive_all(fd, at, 1, 64);
        }
    };
    refused("too long", [](Many& all, std::size_t at) { all.put(at, std::string(70'000, 'x')); });
    refused("to nowhere", [](Many& all, std::size_t at) {
        all.headers[at].msg_hdr.msg_name = nullptr;
        all.headers[at].msg_hdr.msg_namelen = 0;
    });
    refused("a short address", [](Many& all, std::size_t at) { all.headers[at].msg_hdr.msg_namelen = 3; });
    refused("another family",
            [](Many& all, std::size_t at) { all.messages[at]->peer.storage.ss_family = AF_UNIX; });
    told("of none", sendmmsg(fd, out.headers.data(), 0, 0));
}

/// DESTINATION: what the flags and the time make of it.
void waits(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "first");
    const auto fill = [&](std::size_t count) {
        Many out(count);
        for (std::size_t i = 0; i < count; ++i) out.put(i, std::to_string(i));
        told("sendmmsg", out.send(fd));
        await_datagram(fd);
        pause(150);
    };
    Many in(50);
    const auto receive = [&](const char* how, std::size_t count, int flags, timespec* timeout = nullptr) {
        in = Many(count);
        for (std::size_t i = 0; i < count; ++i) in.expect(i, 16);
        const int came = in.receive(fd, flags, timeout);
        told(how, came);
        for (int i = 0; i < came; ++i) say("  %s", in.told(static_cast<std::size_t>(i)).c_str());
    };
    fill(34);
    receive("MSG_WAITFORONE", 50, MSG_WAITFORONE);
    receive("MSG_DONTWAIT", 50, MSG_DONTWAIT);
    fill(5);
    receive("MSG_PEEK", 3, MSG_PEEK);
    receive("as many as there are", 5, 0);
    fill(3);
    timespec timeout{0, 0};
    receive("within no time", 3, 0, &timeout);
    timeout = {30, 0};
    receive("in time", 2, 0, &timeout);
    say("time left: %s", timeout.tv_sec == 29 ? "most of it" : "not what it should be");
    const timeval patience{0, 100'000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    fill(3);
    receive("SO_RCVTIMEO", 5, 0);
    receive("SO_RCVTIMEO again", 5, 0);
    fill(2);
    receive("MSG_TRUNC", 2, MSG_TRUNC);
    told("of none", recvmmsg(fd, in.headers.data(), 0, MSG_DONTWAIT, nullptr));
    told("nowhere", recvmmsg(fd, nullptr, 1, MSG_DONTWAIT, nullptr));
}

/// DESTINATION: rooms of different sizes side by side.
void rooms(const Arguments& words) {
    const auto to = address_of(words[0]);
    const int fd = udp_socket(to.family());
    told("connect", connect_to(fd, to));
    exchange(fd, "first");
    Many out(8);
    for (std::size_t i = 0; i < 8; ++i) out.put(i, std::string(20, static_cast<char>('a' + i)));
    told("sendmmsg", out.send(fd));
    await_datagram(fd);
    pause(150);
    Many in(8);
    constexpr std::size_t sizes[]{64, 64, 8, 8, 20, 19, 2, 64};
    for (std::size_t i = 0; i < 8; ++i) in.expect(i, sizes[i], i % 2 == 1);
    told("recvmmsg", in.receive(fd, MSG_DONTWAIT));
    for (std::size_t i = 0; i < 8; ++i) say("%s", in.told(i).c_str());
}

} // namespace

int main(int argc, char** argv) {
    return run(argc, argv,
               {{"many", many, 1}, {"mixed", mixed, 2}, {"waits", waits, 1}, {"rooms", rooms, 1}});
}
