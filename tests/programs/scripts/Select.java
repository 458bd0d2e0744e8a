import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Many non-blocking SocketChannels under one Selector (epoll), then an AsynchronousSocketChannel for each host (epoll,
 * one-shot). Every other channel is registered before it connects. Usage: Select COUNT PORT HOST…
 */
class Select {
    private static final String GREETING = "select\n";

    public static void main(String[] arguments) throws Exception {
        int count = Integer.parseInt(arguments[0]), port = Integer.parseInt(arguments[1]), hosts = arguments.length - 2;
        try (var selector = Selector.open()) {
            for (int i = 0; i < count; ++i) {
                var channel = SocketChannel.open();
                channel.configureBlocking(false);
                var address = new InetSocketAddress(arguments[2 + i % hosts], port);
                var early = i % 2 == 0 ? channel.register(selector, SelectionKey.OP_CONNECT) : null;
                if (channel.connect(address)) throw new AssertionError("connected at once");
                (early != null ? early : channel.register(selector, SelectionKey.OP_CONNECT))
                    .attach(ByteBuffer.allocate(GREETING.length()));
            }
            int heard = 0;
            while (!selector.keys().isEmpty()) {
                if (selector.select(10_000) == 0) throw new AssertionError("nothing happens");
                for (var key : selector.selectedKeys()) heard += serve(key) ? 1 : 0;
                selector.selectedKeys().clear();
                selector.selectNow(); // forgets the keys that were cancelled
                selector.selectedKeys().clear();
            }
            System.out.println(heard + " of " + count);
        }
        for (int i = 2; i < arguments.length; ++i) {
            try (var channel = AsynchronousSocketChannel.open()) {
                channel.connect(new InetSocketAddress(arguments[i], port)).get();
                channel.write(UTF_8.encode("async\n")).get();
                var buffer = ByteBuffer.allocate("async\n".length());
                while (buffer.hasRemaining() && channel.read(buffer).get() >= 0) {}
                System.out.print(UTF_8.decode(buffer.flip()));
            }
        }
        System.exit(0); // not waiting for the threads of the asynchronous channels
    }

    /** One step of a channel; true when all that it said has come back. */
    private static boolean serve(SelectionKey key) throws Exception {
        var channel = (SocketChannel)key.channel();
        var buffer = (ByteBuffer)key.attachment();
        if (key.isConnectable()) {
            if (!channel.finishConnect()) return false;
            channel.write(UTF_8.encode(GREETING));
            key.interestOps(SelectionKey.OP_READ);
            return false;
        }
        if (channel.read(buffer) < 0) throw new AssertionError("closed too early");
        if (buffer.hasRemaining()) return false;
        channel.close();
        return UTF_8.decode(buffer.flip()).toString().equals(GREETING);
    }
}
