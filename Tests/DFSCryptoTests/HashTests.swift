import DFSCore
import DFSCrypto
import TestSupport
import Testing

@Suite struct HashTests {
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ]) func `the vectors of FIPS 180 come out`(_ message: String, _ expected: String) {
    #expect(SHA256.hash(Array(message.utf8)).description == expected)
  }

  @Test func `any split gives the same hash, and a copy goes on by itself`() {
    var generator = SeededGenerator()
    for _ in 0..<50 {
      let bytes = generator.bytes(Int.random(in: 0...1_000, using: &generator))
      let cut = Int.random(in: 0...bytes.count, using: &generator)
      var hash = SHA256()
      Array(bytes[..<cut]).withUnsafeBytes { hash.update($0) }
      var fork = hash
      fork.update(0xAA)
      Array(bytes[cut...]).withUnsafeBytes { hash.update($0) }
      #expect(hash.finish() == SHA256.hash(bytes), "seed \(generator.seed)")
      #expect(fork.finish() == SHA256.hash(bytes[..<cut] + [0xAA]), "seed \(generator.seed)")
    }
  }

  @Test(
    arguments: [
      (
        [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
      ),
      (
        Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
      ),
      (
        [UInt8](repeating: 0xAA, count: 131),
        Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
      ),
    ] as [([UInt8], [UInt8], String)]) func `the vectors of RFC 4231 come out`(
      _ key: [UInt8], _ message: [UInt8], _ expected: String
    )
  {
    #expect(MessageAuthenticator(key: key).code(for: message).description == expected)
  }

  @Test func `a code is accepted for its key and message only`() throws {
    let authenticator = MessageAuthenticator(key: try SecureRandom.bytes(32))
    let message = Array("chunk 1.0".utf8)
    let code = authenticator.code(for: message)
    #expect(authenticator.accepts(code, for: message))
    #expect(!authenticator.accepts(code, for: Array("chunk 1.1".utf8)))
    #expect(!MessageAuthenticator(key: try SecureRandom.bytes(32)).accepts(code, for: message))
    for position in 0..<Digest.byteCount {
      var bytes = code.bytes
      bytes[position] ^= 1
      #expect(!authenticator.accepts(try #require(Digest(bytes)), for: message))
    }
    #expect(equalInConstantTime([1, 2], [1, 2]))
    #expect(!equalInConstantTime([1, 2], [1, 3]))
    #expect(!equalInConstantTime([1, 2], [1, 2, 3]))
  }

  @Test func `random bytes differ from call to call`() throws {
    let first = try SecureRandom.bytes(32)
    #expect(try SecureRandom.bytes(32) != first)
    #expect(try SecureRandom.identity() != SecureRandom.identity())
  }
}
