import DFSCore
import NIOCore
import SwiftProtobuf

extension Marshaller where Message: SwiftProtobuf.Message {
  /// The marshaller of a generated message of this module's own services, which are small: the bytes are
  /// copied. Malformed ones are `.invalidArgument`.
  static var small: Marshaller {
    Marshaller(
      encode: { message in
        let bytes: [UInt8] = try message.serializedBytes()
        return OutgoingMessage(head: ByteBuffer(bytes: bytes))
      },
      decode: { buffer in
        do {
          return try Message(serializedBytes: Array(buffer.readableBytesView))
        } catch {
          throw DFSError(.invalidArgument, "the message is no \(Message.protoMessageName)", cause: error)
        }
      })
  }
}
