import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Fetches every URL at once with java.net.http (non-blocking connect, epoll). Usage: Fetch CA.pem URL… */
class Fetch {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newBuilder().sslContext(trusting(arguments[0])).build();
        var replies = Arrays.stream(arguments).skip(1)
            .map(url -> HttpRequest.newBuilder(URI.create(url)).build())
            .map(request -> client.sendAsync(request, BodyHandlers.ofString()))
            .toList();
        replies.stream().map(CompletableFuture::join).forEach(reply -> System.out.print(reply.body()));
    }

    private static SSLContext trusting(String certificate) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = new FileInputStream(certificate)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }
}
