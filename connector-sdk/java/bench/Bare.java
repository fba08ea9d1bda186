package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.logging.Level;
import java.util.logging.Logger;
import superfasttt.connector.v1.ConnectorGrpc;
import superfasttt.connector.v1.ConnectorOuterClass.Change;
import superfasttt.connector.v1.ConnectorOuterClass.Checkpoint;
import superfasttt.connector.v1.ConnectorOuterClass.Page;
import superfasttt.connector.v1.ConnectorOuterClass.PullRequest;
import superfasttt.connector.v1.ConnectorOuterClass.PullResponse;

/** The same stream with nothing around it: no token, no errors of items, no limits, no thread of its own. */
final class Bare extends ConnectorGrpc.ConnectorImplBase {
    /** Two pages to a checkpoint, and each about as large as those of the connector. */
    private static final int PER_PAGE = 500;

    /** Held here, because a logger that nobody holds forgets its level. */
    private static final Logger NETTY = Logger.getLogger("io.grpc.netty.shaded.io.netty.bootstrap");

    /** Serves until the process is killed. */
    static void serve(String socket) throws IOException, InterruptedException {
        // It warns of an option that Unix sockets do not have.
        NETTY.setLevel(Level.OFF);
        var server = NettyServerBuilder.forAddress(new DomainSocketAddress(socket)).channelType(EpollServerDomainSocketChannel.class)
                .bossEventLoopGroup(new EpollEventLoopGroup(1)).workerEventLoopGroup(new EpollEventLoopGroup(2)).addService(new Bare()).build();
        server.start();
        System.out.println(socket);
        server.awaitTermination();
    }

    @Override
    public void pull(PullRequest request, StreamObserver<PullResponse> observer) {
        int documents = Source.documents(request.getSettings());
        ServerCallStreamObserver<PullResponse> out = (ServerCallStreamObserver<PullResponse>) observer;
        out.setOnReadyHandler(new Runnable() {
            private int next = 1;

            @Override
            public void run() {
                while (out.isReady() && next <= documents) {
                    int end = Math.min(next + PER_PAGE, documents + 1);
                    out.onNext(PullResponse.newBuilder().setPage(page(next, end)).build());
                    next = end;
                    if (next > documents) {
                        out.onCompleted();
                    }
                }
            }
        });
    }

    private static Page page(int first, int end) {
        Page.Builder page = Page.newBuilder();
        for (int number = first; number < end; number++) {
            page.addChanges(Change.newBuilder().setDocument(Documents.of(number)));
        }
        if ((end - 1) % Source.PER_CHECKPOINT == 0) {
            page.setCheckpoint(Checkpoint.newBuilder().setCursor(ByteString.copyFromUtf8(Integer.toString(end - 1))).setHasMore(true));
        }
        return page.build();
    }
}
