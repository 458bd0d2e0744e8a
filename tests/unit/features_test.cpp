#include "socksify/features.hpp"

#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;

namespace {

/// WIRE e.5: SOCKS 5.0; IPv4, names, IPv6; none and password; CONNECT, BIND, UDP, ENHANCED, LIST.
const auto example = octets("01 05 01 00  02 01 00  02 03 00  02 04 00  03 00 00  03 02 00"
                            "04 01 00  04 02 01 01  04 03 02 01 04  04 04 02 01 02  04 10 01 01");
const auto end = octets("ff 00 00");

FeatureList read(const Octets& in) {
    FeatureReader reader;
    REQUIRE(reader.feed(in).outcome == Outcome::complete);
    return reader.take();
}

/// What the connection's end means after `in`.
Outcome ended_after(const Octets& in) {
    FeatureReader reader;
    REQUIRE(reader.feed(in).outcome == Outcome::need_more);
    return reader.ended();
}

} // namespace

TEST_CASE("the draft's own example: TAG-SUBTAG(\"Hello.\")") {
    FeatureList list;
    list.add(0x07, 0x13, as_bytes("Hello."));
    CHECK(hex(list.octets()) == "07 13 06 48 65 6c 6c 6f 2e");
    const auto entries = read(octets("07 13 06 48 65 6c 6c 6f 2e ff 00 00")).entries();
    REQUIRE(entries.size() == 1);
    CHECK(entries[0].tag == 0x07);
    CHECK(entries[0].subtag == 0x13);
}

TEST_CASE("a list is written as it is read") {
    const auto list = read(example + end);
    CHECK(hex(list.octets()) == hex(example));
    CHECK(hex(list.encode()) == hex(example + end));
    CHECK(list.entries().size() == 11);

    FeatureList written;
    const auto none = Octets{};
    written.add(Tag::socks, 5, octets("00"));
    for (const unsigned type : {1U, 3U, 4U}) written.add(Tag::address, static_cast<std::uint8_t>(type));
    for (const unsigned method : {0U, 2U})
        written.add(Tag::authentication, static_cast<std::uint8_t>(method));
    written.add(Tag::command, 1, none);
    written.add(Tag::command, 2, octets("01"));
    written.add(Tag::command, 3, octets("01 04"));
    written.add(Tag::command, 4, octets("01 02"));
    written.add(Tag::command, 0x10, octets("01"));
    CHECK(written == list);
}

TEST_CASE("a list cut anywhere is the same list, and the reader never asks beyond END") {
    const auto whole = example + end;
    const auto expected = read(whole);
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        INFO("cut after ", cut, " octets");
        FeatureReader reader;
        const auto lacking = reader.feed(copy(Bytes(whole).first(cut)));
        REQUIRE(lacking.outcome == Outcome::need_more);
        CHECK(lacking.size >= 1);
        CHECK(cut + lacking.size <= whole.size());
        const auto rest = reader.feed(copy(Bytes(whole).subspan(cut)));
        REQUIRE(rest.outcome == Outcome::complete);
        CHECK(rest.size == whole.size() - cut);
        CHECK(reader.take() == expected);
    }
}

TEST_CASE("a list that comes octet by octet is the same list") {
    const auto whole = example + end;
    FeatureReader reader;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        const auto parsed = reader.feed(Bytes(whole).subspan(i, 1));
        CHECK(parsed.outcome == (i + 1 == whole.size() ? Outcome::complete : Outcome::need_more));
    }
    CHECK(reader.take() == read(whole));
}

TEST_CASE("what follows END is not the list's") {
    const auto whole = example + end;
    for (const auto& behind : {octets("05"), octets("ff 00 00"), whole}) {
        FeatureReader reader;
        const auto more = whole + behind;
        const auto parsed = reader.feed(more);
        CHECK(parsed.outcome == Outcome::complete);
        CHECK(parsed.size == whole.size());
        CHECK(reader.take() == read(whole));
    }
}

TEST_CASE("END is a whole entry: any subtag, and a value to skip") {
    const auto list = read(example + octets("ff 07 02 01 05"));
    CHECK(hex(list.octets()) == hex(example));
    FeatureReader reader;
    CHECK(reader.feed(octets("ff 00 02 01")).size == 1);
    CHECK(reader.saw_end());
}

TEST_CASE("an empty list is a list") {
    const auto list = read(end);
    CHECK(list.empty());
    CHECK(list.supports(Command::connect) == Support::unsaid);
}

TEST_CASE("the connection's end ends a list between two entries and inside END, nowhere else") {
    CHECK(ended_after(example) == Outcome::complete);
    CHECK(ended_after(example + octets("ff")) == Outcome::complete);
    CHECK(ended_after(example + octets("ff 00")) == Outcome::complete);
    CHECK(ended_after(octets("ff")) == Outcome::complete);
    CHECK(ended_after(example + octets("01")) == Outcome::malformed);
    CHECK(ended_after(example + octets("01 05 01")) == Outcome::malformed);
    CHECK(ended_after({}) == Outcome::malformed); // REP 00 and nothing: no list at all
}

TEST_CASE("a bare FF can be told from an entry under way") {
    FeatureReader reader;
    CHECK(!reader.saw_end());
    CHECK(!reader.feed(example));
    CHECK(!reader.saw_end());
    CHECK(reader.feed(octets("ff")).size == 2);
    CHECK(reader.saw_end());
}

TEST_CASE("END among the entries would hide the rest, so it can't be added") {
    FeatureList list;
    list.add(Tag::end, 0);
    list.add(0xff, 1, octets("01"));
    list.add(Tag::socks, 5);
    CHECK(read(copy(list.encode())) == list);
    CHECK(list.entries().size() == 1);
}

TEST_CASE("a value is cut at what its length octet can say") {
    FeatureList list;
    list.add(Tag::server, 1, Octets(300, 'x'));
    CHECK(list.octets().size() == 3 + 255);
    CHECK(read(copy(list.encode())) == list);
}

TEST_CASE("a hostile list without end stops at the limit of octets") {
    FeatureReader reader;
    const auto entry = octets("55 55 ff") + Octets(255, 0xff);
    std::size_t octets_taken = 0;
    auto outcome = Outcome::need_more;
    while (outcome == Outcome::need_more && octets_taken < 2 * FeatureReader::most_octets) {
        outcome = reader.feed(entry).outcome;
        octets_taken += entry.size();
    }
    CHECK(outcome == Outcome::malformed);
    CHECK(octets_taken <= FeatureReader::most_octets + entry.size());
    CHECK(reader.feed(entry).outcome == Outcome::malformed);
    CHECK(reader.take().octets().size() <= FeatureReader::most_octets);
}

TEST_CASE("a hostile list of empty entries stops at the limit of entries") {
    FeatureReader reader;
    Octets many;
    for (std::size_t i = 0; i < FeatureReader::most_entries; ++i) many = std::move(many) + octets("55 55 00");
    CHECK(reader.feed(many).outcome == Outcome::need_more);
    CHECK(reader.feed(octets("55 55 00")).outcome == Outcome::malformed);
    FeatureReader again;
    CHECK(again.feed(many + end).outcome == Outcome::complete);
}

TEST_CASE("what a list does not mention it denies only among its like") {
    const auto list = read(octets("04 01 00 04 10 01 01 02 01 00 01 05 00 ff 00 00"));
    CHECK(list.supports(Command::connect) == Support::yes);
    CHECK(list.supports(Command::list_features) == Support::yes); // not the first of its like
    CHECK(list.supports(Command::bind) == Support::no);
    CHECK(list.supports(AddressType::ipv4) == Support::yes);
    CHECK(list.supports(AddressType::domain_name) == Support::no);
    CHECK(list.supports(Method::none) == Support::unsaid);
    CHECK(list.supports_version(5) == Support::yes);
    CHECK(list.supports_version(4) == Support::no);
}

TEST_CASE("entries that nobody knows are kept and disturb nothing") {
    const auto list = read(octets("7f 01 02 04 02  04 01 00  80 00 01 78  04 77 00  ff 00 00"));
    CHECK(list.entries().size() == 4);
    CHECK(list.supports(Command::connect) == Support::yes);
    CHECK(list.supports(Command::bind) == Support::no);
    CHECK(list.text(Tag::extension, 0) == "x");
}

TEST_CASE("entries with one tag and subtag count as one with all their values") {
    const auto list =
        read(octets("00 10 01 01  00 10 01 03  04 10 00  04 10 01 01  10 01 01 61  10 01 01 62  ff 00 00"));
    CHECK(list.depends_on(Scope::client_address));
    CHECK(list.depends_on(Scope::destination));
    CHECK(!list.depends_on(Scope::authentication_method));
    CHECK(list.persistent());
    CHECK(list.text(Tag::server, static_cast<std::uint8_t>(ServerInfo::hostname)) == "a");
}

TEST_CASE("connections may be held only when the list says so") {
    CHECK(read(octets("04 10 01 01 ff 00 00")).persistent());
    CHECK(read(octets("04 10 03 07 05 01 ff 00 00")).persistent());
    CHECK(!read(octets("04 10 00 ff 00 00")).persistent());
    CHECK(!read(octets("04 10 01 00 ff 00 00")).persistent());
    CHECK(!read(octets("04 01 01 01 ff 00 00")).persistent());
}

TEST_CASE("the server's own words are found by their subtag") {
    const auto list = read(octets("10 02 01 75  10 04 03 30 2e 35  10 03 00  ff 00 00"));
    const auto info = [&](ServerInfo what) {
        return list.text(Tag::server, static_cast<std::uint8_t>(what));
    };
    CHECK(info(ServerInfo::url) == "u");
    CHECK(info(ServerInfo::load) == "0.5");
    CHECK(info(ServerInfo::opaque_id) == "");
    CHECK(!info(ServerInfo::hostname));
}

TEST_CASE("a command of this project's is announced only beside the extension's name") {
    const auto named = octets("80 00 08 73 6f 63 6b 73 69 66 79");
    const auto listed = octets("04 01 00  04 a1 01 01  04 a2 01 01");
    const auto list = read(named + listed + end);
    CHECK(list.supports(Command::listen) == Support::yes);
    CHECK(list.supports(Command::accept) == Support::yes);
    CHECK(list.supports(Command::connect) == Support::yes);
    for (const auto& other :
         {listed + end, octets("80 00 08 73 6f 63 6b 73 69 66 7a") + listed + end,
          octets("80 01 01 01") + listed + end, named + octets("04 01 00") + end,
          named + octets("01 05 00") + end, named + octets("04 01 00  04 a1 01 01") + end,
          named + octets("04 01 00  04 a2 01 01") + end, named + octets("04 a1 01 02  04 a2 01 02") + end}) {
        INFO(hex(other));
        CHECK(read(other).supports(Command::listen) == Support::no);
        CHECK(read(other).supports(Command::accept) == Support::no);
    }
    CHECK(read(octets("04 a1 01 01") + end).supports(Command::bind) == Support::no);
}

TEST_CASE("sessions are announced by command and method together, beside the extension's name") {
    const auto named = octets("80 00 08 73 6f 63 6b 73 69 66 79");
    const auto both = octets("03 a0 00  04 a0 01 01");
    const auto terms = octets("80 02 08 00 00 01 2c 00 00 00 40");
    CHECK(read(named + both + terms + end).sessions() == SessionTerms{300, 64});
    CHECK(read(named + both + terms + end).supports(Method::session) == Support::yes);
    CHECK(read(named + both + end).sessions() == SessionTerms{});
    CHECK(read(named + both + octets("80 02 04 00 00 01 2c") + end).sessions() == SessionTerms{});
    for (const auto& other :
         {both + terms + end, named + terms + end, named + octets("03 a0 00") + terms + end,
          named + octets("04 a0 01 01") + terms + end, octets("80 00 01 78") + both + terms + end}) {
        INFO(hex(other));
        CHECK(!read(other).sessions());
    }
    CHECK(read(octets("03 02 00") + end).supports(Method::session) == Support::no);
}

TEST_CASE("what BIND makes of its DST is known only from the list") {
    const auto list = read(octets("04 02 02 01 02  ff 00 00"));
    CHECK(list.has(BindFeature::honours_port));
    CHECK(list.has(BindFeature::peer_filter));
    CHECK(!list.has(BindFeature::listen_address));
    CHECK(!read(octets("04 02 00  04 01 01 01  ff 00 00")).has(BindFeature::honours_port));
}

TEST_CASE("what may come early is believed in a list that names the extension set, and only what is known") {
    const auto ahead = [](std::string_view wire) {
        FeatureReader reader;
        const auto octets_of_list = octets(wire);
        REQUIRE(reader.feed(octets_of_list).outcome == Outcome::complete);
        return reader.take().ahead();
    };
    const std::string ours = "80 00 08 73 6f 63 6b 73 69 66 79 ";
    CHECK(ahead("ff 00 00") == Ahead::unsaid);
    CHECK(ahead(ours + "ff 00 00") == Ahead::unsaid);
    CHECK(ahead(ours + "80 01 01 01 ff 00 00") == Ahead::messages);
    CHECK(ahead("80 01 01 02 " + ours + "ff 00 00") == Ahead::data);
    CHECK(ahead(ours + "80 01 01 03 ff 00 00") == Ahead::unsaid);
    CHECK(ahead(ours + "80 01 01 00 ff 00 00") == Ahead::unsaid);
    CHECK(ahead(ours + "80 01 00 ff 00 00") == Ahead::unsaid);
    CHECK(ahead(ours + "80 01 02 01 01 ff 00 00") == Ahead::unsaid);
    CHECK(ahead("80 01 01 02 ff 00 00") == Ahead::unsaid);
    CHECK(ahead("80 00 01 78 80 01 01 02 ff 00 00") == Ahead::unsaid);
}
