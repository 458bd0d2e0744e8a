// Hosts, endpoints and proxy names as people write them.
#include "fuzz.hpp"

#include "policy/host_name.hpp"
#include "policy/name_pool.hpp"

using namespace socksify;
using namespace socksify::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto text = as_text({data, size});
    if (const auto host = Host::parse(text)) {
        expect(Host::parse(host->text()) == host);
        expect(host->unmapped().is_loopback() == host->is_loopback());
        expect(host->unmapped().is_unspecified() == host->is_unspecified());
        expect(!host->is_name() || !policy::NamePool::index_of(*host));
    }
    if (const auto endpoint = Endpoint::parse(text)) expect(Endpoint::parse(endpoint->text()) == endpoint);
    const policy::FoldedName folded(text);
    expect(policy::FoldedName(folded.text()).text().size() <= folded.text().size());
    if (policy::is_host_name(text)) expect(Host::name(text).has_value());
    return 0;
}
