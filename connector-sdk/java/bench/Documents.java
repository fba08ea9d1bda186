package com.superfasttt.tracker;

import com.google.protobuf.Struct;
import com.google.protobuf.Timestamp;
import com.google.protobuf.Value;
import superfasttt.connector.v1.ConnectorOuterClass.RawItem;
import superfasttt.connector.v1.Document.DocumentEnvelope;
import superfasttt.connector.v1.Document.Permissions;

/** What both sides of the benchmark make of a number: the same as bench/src/source.rs makes, field by field. */
final class Documents implements Normalizer {
    private static final int CONTENT_BYTES = 1024;
    private static final int METADATA_FIELDS = 8;
    private static final String WORDS = "the quarterly report of the northern office lists every contract signed since spring with its owner its value "
            + "and the day on which it ends so that nobody has to look for it in a folder again and the people who answer questions about it find the "
            + "newest version first ";
    /** The texts are pieces of it. */
    private static final String TEXTS = WORDS.repeat(CONTENT_BYTES / WORDS.length() + 2);
    private static final Timestamp CREATED_AT = Timestamp.newBuilder().setSeconds(1_600_000_000L).build();

    /** The id of the document of that number. */
    static String id(int number) {
        String digits = Integer.toString(number);
        return "document-" + "0".repeat(9 - digits.length()) + digits;
    }

    /** The document of that number. */
    static DocumentEnvelope of(int number) {
        String begin = number + " 1 ";
        int start = number % WORDS.length();
        Struct.Builder metadata = Struct.newBuilder();
        for (int field = 0; field < METADATA_FIELDS; field++) {
            metadata.putFields("field_" + field, metadata(number, field));
        }
        Permissions permissions = Permissions.newBuilder().setVisibility("private").addAllow("user:person-" + number % 211 + "@acme.example")
                .addAllow("group:team-" + number % 13 + "@acme.example").addAllow("domain:acme.example").build();
        return DocumentEnvelope.newBuilder().setId(id(number)).setVersion("1").setTitle("Document " + number)
                .setUrl("https://documents.example/" + number).setContent(begin + TEXTS.substring(start, start + CONTENT_BYTES - begin.length()))
                .setMediaType("text/plain").setMetadata(metadata).setPermissions(permissions).setCreatedAt(CREATED_AT)
                .setUpdatedAt(Timestamp.newBuilder().setSeconds(1_700_000_000L + number)).build();
    }

    private static Value metadata(int number, int field) {
        Value.Builder value = Value.newBuilder();
        return switch (field % 4) {
            case 0 -> value.setStringValue("value " + field * 7 + " of " + number).build();
            case 1 -> value.setNumberValue((double) number * (field + 1)).build();
            case 2 -> value.setStringValue("folder/" + number % 97 + "/" + number % 1009).build();
            default -> value.setBoolValue(number % 2 == 0).build();
        };
    }

    @Override
    public RawItem toRaw(String id, String version, Struct raw) {
        throw new UnsupportedOperationException("the benchmark keeps no raw items");
    }

    @Override
    public DocumentEnvelope toDocument(RawItem kept) {
        throw new UnsupportedOperationException("the benchmark keeps no raw items");
    }

    @Override
    public DocumentEnvelope toDocument(String id, String version, Struct raw) {
        return of((int) raw.getFieldsOrThrow("number").getNumberValue());
    }
}
