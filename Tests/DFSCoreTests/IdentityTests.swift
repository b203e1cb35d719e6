import DFSCore
import TestSupport
import Testing

struct DigestTests {
  @Test func `a digest holds exactly 32 bytes and gives them back in order`() throws {
    let bytes = (0..<32).map { UInt8($0 * 7) }
    let digest = try #require(Digest(bytes))
    #expect(digest.bytes == bytes)
    #expect(digest.description == bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    #expect(bytes.withUnsafeBytes { Digest(loading: $0) } == digest)
    #expect((bytes + [9]).withUnsafeBytes { Digest(loading: $0) } == digest)
    digest.withUnsafeBytes { #expect(Array($0) == bytes) }
    for count in [0, 31, 33, 64] { #expect(Digest(repeatElement(1, count: count)) == nil) }
  }

  @Test func `digests differ when any one byte does`() throws {
    let zero = try #require(Digest(repeatElement(0, count: 32)))
    for index in 0..<32 {
      var bytes = [UInt8](repeating: 0, count: 32)
      bytes[index] = 1
      #expect(try #require(Digest(bytes)) != zero)
    }
    #expect(Set([zero, zero]).count == 1)
  }
}

struct IdentifierTests {
  @Test func `a serial number is its incarnation, then its counter`() {
    let serial = SerialNumber(incarnation: 0xABCD, counter: 0x1234_5678_9ABC)
    #expect(serial.rawValue == 0xABCD_1234_5678_9ABC)
    #expect(serial.incarnation == 0xABCD && serial.counter == 0x1234_5678_9ABC)
    let largest = SerialNumber(incarnation: .max, counter: SerialNumber.largestCounter)
    #expect(largest.rawValue == .max)
    #expect(SerialNumber(rawValue: largest.rawValue) == largest)
  }

  @Test func `every number of a later incarnation is above every number of an earlier one`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<1000 {
      let earlier = UInt16.random(in: 0..<UInt16.max, using: &random)
      let later = UInt16.random(in: (earlier + 1)...UInt16.max, using: &random)
      let counters = 0...SerialNumber.largestCounter
      let low = SerialNumber(incarnation: earlier, counter: UInt64.random(in: counters, using: &random))
      let high = SerialNumber(incarnation: later, counter: UInt64.random(in: counters, using: &random))
      #expect(low < high && !(high < low))
      #expect(low.incarnation == earlier && high.incarnation == later)
    }
  }

  @Test func `epochs are ordered by incarnation first`() {
    #expect(Epoch(incarnation: 1, term: 9) < Epoch(incarnation: 2, term: 1))
    #expect(Epoch(incarnation: 2, term: 1) < Epoch(incarnation: 2, term: 2))
    #expect(Epoch.zero < Epoch(incarnation: 0, term: 1))
    #expect(Epoch(incarnation: 2, term: 7).description == "2.7")
    #expect(GroupEpoch(rawValue: 4).next == GroupEpoch(rawValue: 5))
    #expect(GroupEpoch(rawValue: 4) < GroupEpoch(rawValue: 5) && GroupEpoch(rawValue: 4).description == "4")
  }

  @Test func `chunks are ordered by inode, then by index`() {
    let (one, two) = (InodeID(rawValue: 1), InodeID(rawValue: 2))
    #expect(ChunkID(inode: one, index: 9) < ChunkID(inode: two, index: 0))
    #expect(ChunkID(inode: one, index: 9) < ChunkID(inode: one, index: 10))
    #expect(ChunkID(inode: InodeID(rawValue: 255), index: 3).description == "ff.3")
    #expect(InodeID.root == one)
    #expect(InodeID(SerialNumber(incarnation: 0, counter: 1)) == .root)
  }

  @Test func `a node id is written with 16 digits and read back`() {
    let node = NodeID(rawValue: 0xAB)
    #expect(node.description == "00000000000000ab")
    #expect(NodeID(node.description) == node)
    #expect(NodeID("FFFFFFFFFFFFFFFF")?.rawValue == .max)
    for text in ["", "ab", "00000000000000ag", "000000000000000ab", "-0000000000000ab", "+00000000000000a"] {
      #expect(NodeID(text) == nil, "\(text)")
    }
    #expect(NodeID(rawValue: 1) < NodeID(rawValue: 2))
  }

  @Test func `ids are written as people will see them`() {
    #expect(StoreID(rawValue: 1).description == "0000000000000001")
    #expect(BootID(rawValue: 16).description == "0000000000000010")
    #expect(ClusterID(rawValue: .max).description == "ffffffffffffffff")
    #expect(GroupID(rawValue: 12).description == "12" && GroupID(rawValue: 1) < GroupID(rawValue: 2))
    #expect(Revision(rawValue: 12).description == "12" && Revision.zero.next == Revision(rawValue: 1))
    #expect(Revision.zero < Revision.zero.next)
    let request = RequestID(seen: Revision(rawValue: 5), high: 1, low: 2)
    #expect(request.description == "5-00000000000000010000000000000002")
  }

  @Test func `the same seed gives the same request id, another draw another one`() {
    var (first, second) = (SeededGenerator(seed: 1), SeededGenerator(seed: 1))
    let id = RequestID.random(seen: .zero, using: &first)
    #expect(id == RequestID.random(seen: .zero, using: &second))
    #expect(id != RequestID.random(seen: .zero, using: &second))
  }
}

struct DFSErrorTests {
  private struct Cause: Error, CustomStringConvertible { let description = "the disk is on fire" }

  @Test func `codes have distinct names of capitals, which cross the wire`() {
    let names = DFSError.Code.allCases.map(\.rawValue)
    #expect(Set(names).count == names.count)
    for name in names { #expect(name.wholeMatch(of: /[A-Z]+(_[A-Z]+)*/) != nil, "\(name)") }
    for code in DFSError.Code.allCases { #expect(DFSError.Code(rawValue: code.rawValue) == code) }
    #expect(DFSError.Code(rawValue: "NO_SUCH_CODE") == nil)
  }

  @Test func `the text has the message, then the cause`() {
    #expect("\(DFSError(.corrupt, "chunk 1.0 fails its checksum"))" == "chunk 1.0 fails its checksum")
    #expect("\(DFSError(.unavailable, "no sync", cause: Cause()))" == "no sync: the disk is on fire")
  }

  @Test func `wrapping keeps our errors, names cancellation, and calls the rest internal`() {
    let ours = DFSError(wrapping: DFSError(.stale, "old", metadata: ["epoch": "1.2"]), "ignored")
    #expect(ours.code == .stale && ours.message == "old" && ours.metadata == ["epoch": "1.2"])
    #expect(DFSError(wrapping: CancellationError(), "ignored").code == .cancelled)
    let foreign = DFSError(wrapping: Cause(), "cannot read")
    #expect(foreign.code == .internal && foreign.message == "cannot read" && foreign.cause is Cause)
  }

  @Test func `a deletion has one name, and nothing else is read as one`() {
    let deletion = DeletionID(expiry: 0x18c_3f2a_6d80, serial: 0x1_0000_0000_0012)
    #expect(deletion.description == "18c3f2a6d80-1000000000012")
    #expect(DeletionID(deletion.description) == deletion)
    #expect(DeletionID("0-0") == DeletionID(expiry: 0, serial: 0))
    for bad in [
      "", "-", "18c3f2a6d80", "18c3f2a6d80-", "-12", "018c-12", "18C-12", "+18c-12", "18c-12-1", "18c--12",
      "18c-12 ", "g-1", "11111111111111111-1",
    ] { #expect(DeletionID(bad) == nil, "\(bad)") }
    #expect(deletion < DeletionID(expiry: deletion.expiry, serial: deletion.serial + 1))
    #expect(DeletionID(expiry: 1, serial: .max) < DeletionID(expiry: 2, serial: 0))
  }
}
