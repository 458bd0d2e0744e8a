import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import static java.nio.charset.StandardCharsets.UTF_8;

/** java.net.Socket, with and without a time limit, and a blocking SocketChannel. Usage: Connect PORT HOST… */
class Connect {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        for (int i = 1; i < arguments.length; ++i) {
            // A limit makes the JDK connect without blocking and poll; no limit makes it block in connect.
            for (int limit : new int[] {0, 10_000}) {
                try (var socket = new Socket()) {
                    socket.connect(new InetSocketAddress(arguments[i], port), limit);
                    socket.getOutputStream().write("socket\n".getBytes(UTF_8));
                    System.out.write(socket.getInputStream().readNBytes("socket\n".length()));
                }
            }
            try (var channel = SocketChannel.open(new InetSocketAddress(arguments[i], port))) {
                channel.write(UTF_8.encode("channel\n"));
                var buffer = ByteBuffer.allocate("channel\n".length());
                while (buffer.hasRemaining() && channel.read(buffer) >= 0) {}
                System.out.write(buffer.array(), 0, buffer.position());
            }
        }
        System.out.flush();
    }
}
