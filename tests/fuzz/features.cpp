// An FDL in pieces. First octet: how large they are.
#include "fuzz.hpp"

#include "socksify/features.hpp"

using namespace socksify;
using namespace socksify::fuzz;

namespace {

struct Result {
    Outcome outcome = Outcome::need_more;
    std::size_t taken = 0;
    Outcome ended = Outcome::malformed;
    FeatureList list;
};

Result read(Bytes in, std::size_t piece) {
    Result result;
    FeatureReader reader;
    while (result.outcome == Outcome::need_more && result.taken < in.size()) {
        const auto octets = copy(in.subspan(result.taken, std::min(piece, in.size() - result.taken)));
        const auto parsed = reader.feed(octets);
        result.outcome = parsed.outcome;
        expect(parsed.outcome != Outcome::need_more || parsed.size > 0);
        expect(parsed.outcome != Outcome::complete || parsed.size <= octets.size());
        result.taken += parsed.outcome == Outcome::complete ? parsed.size : octets.size();
    }
    result.ended = reader.ended();
    result.list = reader.take();
    expect(result.list.octets().size() <= FeatureReader::most_octets);
    return result;
}

void ask(const FeatureList& list) {
    std::size_t octets = 0;
    for (const auto& entry : list.entries()) {
        octets += 3 + entry.value.size();
        expect(entry.tag != static_cast<std::uint8_t>(Tag::end));
        expect(list.has(static_cast<Tag>(entry.tag), entry.subtag));
        expect(list.text(static_cast<Tag>(entry.tag), entry.subtag).has_value());
        for (const auto octet : entry.value)
            expect(list.has(static_cast<Tag>(entry.tag), entry.subtag, octet));
    }
    expect(octets == list.octets().size());
    expect(list.supports(Command::list_features) == Support::yes || !list.persistent());
    for (const auto scope : {Scope::client_address, Scope::authentication_method, Scope::destination})
        expect(!list.depends_on(scope) || list.has(Tag::fdl, subtag_scope));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::size_t piece = 1U + input.choice();
    const auto whole = read(input.rest(), std::max<std::size_t>(input.rest().size(), 1));
    const auto pieces = read(input.rest(), piece);
    expect(whole.outcome == pieces.outcome);
    expect(whole.list == pieces.list);
    if (whole.outcome != Outcome::malformed)
        expect(whole.taken == pieces.taken && whole.ended == pieces.ended);
    if (whole.outcome == Outcome::complete) {
        expect(whole.ended == Outcome::complete);
        const auto again = read(whole.list.encode(), piece);
        expect(again.outcome == Outcome::complete && again.list == whole.list);
    }
    if (whole.list.octets().size() < 2048) ask(whole.list); // it is quadratic
    return 0;
}
