package com.superfasttt.tracker;

import com.google.protobuf.Struct;
import superfasttt.connector.v1.ConnectorOuterClass.RawItem;
import superfasttt.connector.v1.Document.DocumentEnvelope;

/** From an item as the source gives it to a document, at once or long after: pure, the same for the same item. */
interface Normalizer {
    /** What is kept of an item where the server asks for raw items. */
    RawItem toRaw(String id, String version, Struct raw);

    /** The document of a kept item. */
    DocumentEnvelope toDocument(RawItem kept);

    /** The document of an item. */
    DocumentEnvelope toDocument(String id, String version, Struct raw);
}
