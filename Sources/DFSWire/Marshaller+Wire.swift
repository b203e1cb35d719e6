import DFSCore
import DFSRPC
import Foundation
import NIOCore
import SwiftProtobuf

extension Marshaller where Message: SwiftProtobuf.Message {
  /// The marshaller of a generated message. Malformed bytes are `.invalidArgument`.
  static var protobuf: Marshaller {
    Marshaller(
      encode: { OutgoingMessage(head: try $0.encoded(), body: .none) },
      decode: { try decoding($0, as: Message.self) })
  }
}

extension Marshaller<WriteChunkPart> {
  static let writeChunkPart = Marshaller(
    encode: { part in
      switch part {
      case .open(let open):
        OutgoingMessage(head: try WireWriteChunkRequest.with { $0.open = open }.encoded(), body: .none)
      case .data(let piece): OutgoingMessage(piece)
      case .finish(let finish):
        OutgoingMessage(head: try WireWriteChunkRequest.with { $0.finish = finish }.encoded(), body: .none)
      }
    },
    decode: { buffer in
      if let piece = try ChunkPieceCodec.piece(in: buffer) { return .data(piece) }
      switch try decoding(buffer, as: WireWriteChunkRequest.self).part {
      case .open(let open): return .open(open)
      case .data(let data): return .data(try ChunkPiece(data))
      case .finish(let finish): return .finish(finish)
      case nil: throw DFSError(.invalidArgument, "a part of a chunk's transfer has no content")
      }
    })
}

extension Marshaller<ReadChunkPart> {
  static let readChunkPart = Marshaller(
    encode: { part in
      switch part {
      case .header(let header):
        OutgoingMessage(head: try WireReadChunkResponse.with { $0.header = header }.encoded(), body: .none)
      case .data(let piece): OutgoingMessage(piece)
      }
    },
    decode: { buffer in
      if let piece = try ChunkPieceCodec.piece(in: buffer) { return .data(piece) }
      switch try decoding(buffer, as: WireReadChunkResponse.self).part {
      case .header(let header): return .header(header)
      case .data(let data): return .data(try ChunkPiece(data))
      case nil: throw DFSError(.invalidArgument, "a part of a chunk's content is empty")
      }
    })
}

extension OutgoingMessage {
  fileprivate init(_ piece: ChunkPiece) {
    let body: Body =
      switch piece.payload {
      case .bytes(let buffer): .buffer(buffer)
      case .lent(let buffer, let loan): .lent(buffer, loan)
      case .file(let region): .file(region)
      }
    self.init(head: ChunkPieceCodec.head(of: piece), body: body)
  }
}

extension ChunkPiece {
  /// The slow way, for messages of unusual layout. Throws `.invalidArgument` when a rule is broken.
  init(_ wire: WireChunkData) throws {
    self.init(
      offset: wire.offset, checksums: wire.blockCrc32C, leaves: ByteBuffer(bytes: wire.leaves),
      payload: .bytes(ByteBuffer(bytes: wire.payload)))
    try ChunkPieceCodec.validate(self)
  }
}

private func decoding<Decoded: SwiftProtobuf.Message>(_ buffer: ByteBuffer, as type: Decoded.Type) throws
  -> Decoded
{
  do {
    return try Decoded(decoding: buffer)
  } catch {
    throw DFSError(.invalidArgument, "the message is no \(Decoded.protoMessageName)", cause: error)
  }
}
