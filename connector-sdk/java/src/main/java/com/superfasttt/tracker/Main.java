package com.superfasttt.tracker;

import io.grpc.Server;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionService;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.logging.Level;
import java.util.logging.Logger;
import superfasttt.connector.v1.ConnectorGrpc;

/** What connectord starts: serves the connector on a Unix socket until it is asked to stop. */
public final class Main {
    private static final Map<String, Level> LEVELS = Map.of("error", Level.SEVERE, "warn", Level.WARNING);
    /** Held here, because a logger that nobody holds forgets its level. */
    private static final Logger NETTY = Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap");
    private static final int MAX_RECEIVED_BYTES = 16 * 1024 * 1024;

    public static void main(String[] arguments) throws IOException, InterruptedException {
        run(TrackerConnector::new, new Issues());
    }

    /** The whole main of a connector: serves until the process is asked to stop. */
    static void run(Supplier<DocumentConnector> connectors, Normalizer normalizer) throws IOException, InterruptedException {
        logToStderr();
        String socket = given("CONNECTOR_SOCKET");
        String token = given("CONNECTOR_TOKEN");
        // Left by a process that was killed, it would refuse the bind.
        Files.deleteIfExists(Path.of(socket));
        String manifest = Files.readString(Path.of("manifest.json"));
        serve(new ConnectorService(manifest, connectors, normalizer), socket, token).awaitTermination();
    }

    /** Starts to serve. The process ends when it gets a SIGTERM. */
    private static Server serve(ConnectorService service, String socket, String token) throws IOException {
        HealthStatusManager health = new HealthStatusManager();
        health.setStatus(ConnectorGrpc.SERVICE_NAME, ServingStatus.SERVING);
        Server server = NettyServerBuilder.forAddress(new DomainSocketAddress(socket))
                .channelType(EpollServerDomainSocketChannel.class)
                .bossEventLoopGroup(new EpollEventLoopGroup(1))
                .workerEventLoopGroup(new EpollEventLoopGroup(2))
                .maxInboundMessageSize(MAX_RECEIVED_BYTES)
                .intercept(new TokenCheck(token))
                .addService(service)
                .addService(health.getHealthService())
                .addService(ProtoReflectionServiceV1.newInstance())
                .addService(ProtoReflectionService.newInstance())
                .build()
                .start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            health.enterTerminalState();
            service.stop();
            server.shutdown();
            try {
                // A client that keeps a stream open does not hold the exit.
                server.awaitTermination(1, TimeUnit.SECONDS);
            } catch (InterruptedException stoppedAtOnce) {
                Thread.currentThread().interrupt();
            }
            // It was asked to end, so it ends well: without this the JVM would end with 143.
            Runtime.getRuntime().halt(0);
        }));
        return server;
    }

    /** What libraries log is a line that begins with its level; never more than INFO, below which they write headers, tokens too. */
    private static void logToStderr() {
        System.setProperty("java.util.logging.SimpleFormatter.format", "%4$s %5$s%n");
        Level level = LEVELS.getOrDefault(System.getenv().getOrDefault("CONNECTOR_LOG", ""), Level.INFO);
        Logger.getLogger("").setLevel(level);
        // It warns of an option that Unix sockets do not have.
        NETTY.setLevel(Level.OFF);
    }

    private static String given(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) {
            System.err.println("this program is a connector: connectord starts it with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and "
                    + name + " is not. Put its folder under the server's --connectors-dir");
            System.exit(2);
        }
        return value;
    }

    private Main() {}
}
