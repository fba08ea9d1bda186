package com.superfasttt.tracker;

import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import superfasttt.connector.v1.ConnectorOuterClass.PullMode;

/**
 * The benchmark's source in Java: as a connector, and as the bare gRPC stream that it is measured against.
 *
 * <p>Without arguments connectord starts it. With {@code bare SOCKET} it is the bare side: says SOCKET on stdout when it listens, and
 * serves until it is killed. {@code make bench} runs both, see docs/benchmarks.md.
 */
public final class Source implements DocumentConnector {
    /** Documents between two checkpoints. */
    static final int PER_CHECKPOINT = 1000;
    private int documents;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 2 && arguments[0].equals("bare")) {
            Bare.serve(arguments[1]);
        } else {
            Main.run(Source::new, new Documents());
        }
    }

    @Override
    public void initialize(ConnectorConfig config) {
        documents = documents(config.settings());
    }

    /** How many there are. */
    static int documents(Struct settings) {
        return (int) settings.getFieldsOrThrow("documents").getNumberValue();
    }

    @Override
    public ConnectorStatus getStatus() {
        return new ConnectorStatus(true, "", "", null);
    }

    /** The cursor of a listing is the number of the last document that it named. */
    @Override
    public void synchronize(SyncRequest request) throws InterruptedException {
        if (request.mode() != PullMode.PULL_MODE_FULL) {
            throw new UnsupportedOperationException("the benchmark asks for listings only");
        }
        int listed = request.cursor().isEmpty() ? 0 : Integer.parseInt(request.cursor().toStringUtf8());
        for (int number = listed + 1; number <= documents; number++) {
            Struct raw = Struct.newBuilder().putFields("number", Value.newBuilder().setNumberValue(number).build()).build();
            request.sink().item(Documents.id(number), "1", raw);
            if (number % PER_CHECKPOINT == 0) {
                request.sink().checkpoint(ByteString.copyFromUtf8(Integer.toString(number)), true);
            }
        }
        request.sink().completeListing(ByteString.copyFromUtf8("0"));
    }

    @Override
    public EventMeaning handleEvent(ConnectorEvent event) {
        throw new UnsupportedOperationException("the benchmark has no webhooks");
    }
}
