package com.superfasttt.tracker;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import superfasttt.connector.v1.ConnectorGrpc;

/** The connector as a process, as connectord starts it, and a channel to it. */
final class Running implements AutoCloseable {
    /** It warns of an option that Unix sockets do not have. */
    private static final Logger NETTY = Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap");

    static final String TOKEN = "token-of-a-test";
    final Path folder = Files.createTempDirectory("java");
    final Process process;
    final ManagedChannel channel;
    private final EpollEventLoopGroup loop = new EpollEventLoopGroup(1);

    Running() throws IOException {
        NETTY.setLevel(Level.OFF);
        Path socket = folder.resolve("c.sock");
        // Left by a process that was killed.
        Files.createFile(socket);
        ProcessBuilder builder = program();
        builder.environment().put("CONNECTOR_SOCKET", socket.toString());
        builder.environment().put("CONNECTOR_TOKEN", TOKEN);
        // All that there is to say, so that a token in it would be seen.
        builder.environment().put("CONNECTOR_LOG", "trace");
        process = builder.redirectError(folder.resolve("log").toFile()).start();
        channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toString())).channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(loop).usePlaintext().maxInboundMessageSize(16 << 20).build();
    }

    /** The program, with nothing in its environment. */
    static ProcessBuilder program() {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        ProcessBuilder builder = new ProcessBuilder(java, "-cp", System.getProperty("java.class.path"), Main.class.getName());
        builder.environment().clear();
        return builder;
    }

    /** Calls with this header. */
    static io.grpc.ClientInterceptor authorized(String authorization) {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), authorization);
        return MetadataUtils.newAttachHeadersInterceptor(headers);
    }

    /** The connector's calls, with the token, waiting until it is there. */
    ConnectorGrpc.ConnectorBlockingStub calls() {
        return ConnectorGrpc.newBlockingStub(channel).withInterceptors(authorized("Bearer " + TOKEN)).withWaitForReady();
    }

    /** What it has said on stderr. */
    String log() throws IOException {
        return Files.readString(folder.resolve("log"));
    }

    @Override
    public void close() throws InterruptedException, IOException {
        channel.shutdownNow();
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        process.destroyForcibly().waitFor();
        Files.deleteIfExists(folder.resolve("c.sock"));
        Files.deleteIfExists(folder.resolve("log"));
        Files.deleteIfExists(folder);
    }
}
