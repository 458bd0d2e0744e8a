// A program's DNS query, as it comes to res_nsend and its kin, and the answer to it.
#include "fuzz.hpp"

#include "policy/dns_message.hpp"

using namespace socksify;
using namespace socksify::fuzz;
using namespace socksify::policy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static_cast<void>(reversed_address(as_text({data, size})));
    const auto question = parse_dns_question({data, size});
    if (!question) return 0;
    expect(question.size > 0 && question.size <= size);
    const auto& name = question.value.name;
    const auto reversed = reversed_address(name);
    expect(!reversed || !reversed->is_name());
    for (const auto& answer : {std::optional<Host>{}, std::optional(Host::ipv4({198, 18, 0, 1})),
                               std::optional(Host::ipv6({0xfd, 0x53})), Host::name("www.example.com")}) {
        const auto response = encode_dns_response(question.value, DnsCode::no_error, answer);
        if (name.size() > 253 && response.empty()) continue; // longer than a name in DNS
        expect(response.size() >= 12);
        expect(get16(response) == question.value.id);
        expect((response[2] & 0x80) != 0);
    }
    return 0;
}
