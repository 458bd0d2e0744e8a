// A rules file, then what it makes of a destination; and the same text as a proxy's URL.
#include "fuzz.hpp"

#include "policy/rules.hpp"

using namespace socksify;
using namespace socksify::fuzz;
using namespace socksify::policy;

namespace {

void check(const Config& config, const Action& action) {
    expect((action.kind == Action::Kind::via) == !action.upstreams.empty());
    for (const auto upstream : action.upstreams) expect(upstream < config.upstreams.size());
}

void check(const Config& config) {
    check(config, config.otherwise);
    for (const auto& rule : config.rules) check(config, rule.action);
    for (const auto& upstream : config.upstreams) {
        expect(upstream.username.size() <= 255 && upstream.password.size() <= 255);
        expect(!upstream.host.is_name() || !upstream.host.name().empty());
    }
    for (const auto& host : {Host{}, Host::ipv4({192, 0, 2, 1}), Host::ipv4({127, 0, 0, 1}),
                             Host::ipv6({0xfd, 1}), Host::name("www.example.com").value()}) {
        const Query query{host, 443, Operation::connect, Protocol::tcp, "/usr/bin/curl"};
        const auto decision = route(config, query);
        expect(decision.action != nullptr && decision.rule < static_cast<int>(config.rules.size()));
        expect(!reason(config, decision).empty() && !explain(config, query).empty());
        // A name that is resolved here may not be one that some rule would proxy.
        if (host.is_name() && answer_name(config, host, query.program) == NameAnswer::locally)
            expect(decision.action->kind == Action::Kind::direct);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = as_text({data, size});
    if (const auto config = parse_config(text)) {
        check(*config);
    } else {
        expect(!config.error().empty());
        for (const auto& error : config.error()) expect(!error.text("rules.json").empty());
    }
    if (const auto config = config_from_url(text)) check(*config);
    else expect(!config.error().text("-p").empty());
    return 0;
}
