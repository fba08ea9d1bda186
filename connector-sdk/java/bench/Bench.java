package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import superfasttt.connector.v1.ConnectorGrpc;
import superfasttt.connector.v1.ConnectorOuterClass.Change;
import superfasttt.connector.v1.ConnectorOuterClass.Checkpoint;
import superfasttt.connector.v1.ConnectorOuterClass.Page;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;
import superfasttt.connector.v1.ConnectorOuterClass.PullRequest;
import superfasttt.connector.v1.ConnectorOuterClass.PullResponse;

/** Measures a pull as the example makes it beside a bare gRPC stream of the same messages; run.sh starts it, and it ends by itself. */
final class Bench {
    private static final int DOCUMENTS = 200_000;
    private static final int PAGE = 500;
    private static final int ROUNDS = 7;
    private static final Struct ISSUE = issue();

    private static Struct issue() {
        return Struct.newBuilder().putFields("title", text("Issue")).putFields("body", text("What happened in this issue. ".repeat(20)))
                .putFields("url", text("https://tracker.example/issues/1")).build();
    }

    private static Value text(String value) {
        return Value.newBuilder().setStringValue(value).build();
    }

    /** Gives issues that it makes up. */
    private static final class Ledger implements DocumentConnector {
        @Override
        public void initialize(ConnectorConfig config) {}

        @Override
        public ConnectorStatus getStatus() {
            return new ConnectorStatus(true, "", "", null);
        }

        @Override
        public void synchronize(SyncRequest request) throws InterruptedException {
            for (int number = 1; number <= DOCUMENTS; number++) {
                request.sink().item(Integer.toString(number), "1", ISSUE);
                if (number % PAGE == 0) {
                    request.sink().checkpoint(ByteString.copyFromUtf8(Integer.toString(number)), true);
                }
            }
        }

        @Override
        public EventMeaning handleEvent(ConnectorEvent event) {
            return null;
        }
    }

    /** Sends the same, with nothing around it. */
    private static final class Bare extends ConnectorGrpc.ConnectorImplBase {
        @Override
        public void pull(PullRequest request, StreamObserver<PullResponse> observer) {
            ServerCallStreamObserver<PullResponse> out = (ServerCallStreamObserver<PullResponse>) observer;
            out.setOnReadyHandler(new Runnable() {
                private int number = 1;

                @Override
                public void run() {
                    while (out.isReady() && number <= DOCUMENTS) {
                        Page.Builder page = Page.newBuilder();
                        for (int end = number + PAGE; number < end; number++) {
                            page.addChanges(Change.newBuilder().setDocument(Issues.toDocument(Integer.toString(number), "1", ISSUE)));
                        }
                        page.setCheckpoint(Checkpoint.newBuilder().setCursor(ByteString.copyFromUtf8(Integer.toString(number - 1))).setHasMore(true));
                        out.onNext(PullResponse.newBuilder().setPage(page).build());
                        if (number > DOCUMENTS) {
                            out.onCompleted();
                        }
                    }
                }
            });
        }
    }

    public static void main(String[] arguments) throws Exception {
        // It warns of an option that Unix sockets do not have.
        Logger netty = Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap");
        netty.setLevel(Level.OFF);
        Path folder = Files.createTempDirectory("bench");
        EpollEventLoopGroup loop = new EpollEventLoopGroup(2);
        ConnectorService service = new ConnectorService("{\"capabilities\": []}", Ledger::new);
        Server ours = serve(service, folder.resolve("ours"), loop);
        Server bare = serve(new Bare(), folder.resolve("bare"), loop);
        double[] rates = new double[ROUNDS];
        double[] plain = new double[ROUNDS];
        // One after the other in each round, so that what else the machine does slows both. The first ones warm up.
        for (int round = -2; round < ROUNDS; round++) {
            double rate = pull(folder.resolve("ours"), loop);
            double bareRate = pull(folder.resolve("bare"), loop);
            if (round >= 0) {
                rates[round] = rate;
                plain[round] = bareRate;
            }
        }
        Arrays.sort(rates);
        Arrays.sort(plain);
        double median = rates[ROUNDS / 2];
        double medianPlain = plain[ROUNDS / 2];
        System.out.printf(Locale.ROOT, "as the example pulls %8.0f documents/s%nbare gRPC stream     %8.0f documents/s%nratio                %8.2f%n",
                median, medianPlain, median / medianPlain);
        ours.shutdownNow();
        bare.shutdownNow();
        service.stop();
        loop.shutdownGracefully(0, 1, TimeUnit.SECONDS).await();
        Files.deleteIfExists(folder.resolve("ours"));
        Files.deleteIfExists(folder.resolve("bare"));
        Files.delete(folder);
    }

    private static Server serve(BindableService service, Path socket, EpollEventLoopGroup loop) throws Exception {
        return NettyServerBuilder.forAddress(new DomainSocketAddress(socket.toString())).channelType(EpollServerDomainSocketChannel.class)
                .bossEventLoopGroup(loop).workerEventLoopGroup(loop).addService(service).build().start();
    }

    /** Reads everything and says how many documents came in a second. */
    private static double pull(Path socket, EpollEventLoopGroup loop) {
        ManagedChannel channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toString())).channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(loop).usePlaintext().build();
        long begun = System.nanoTime();
        PullRequest request = PullRequest.newBuilder().setContractRevision(1).setMode(PullMode.PULL_MODE_FULL).build();
        Iterator<PullResponse> responses = ConnectorGrpc.newBlockingStub(channel).pull(request);
        int count = 0;
        while (responses.hasNext()) {
            count += responses.next().getPage().getChangesCount();
        }
        channel.shutdownNow();
        if (count != DOCUMENTS) {
            throw new IllegalStateException(count + " documents came");
        }
        return DOCUMENTS / ((System.nanoTime() - begun) / 1e9);
    }

    private Bench() {}
}
