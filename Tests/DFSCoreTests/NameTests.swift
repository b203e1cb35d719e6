import DFSCore
import TestSupport
import Testing

struct FileNameTests {
  @Test(arguments: [
    "a", "...", ".hidden", " ", "naïve.txt", "日本語", "a\nb", "-", "*", String(repeating: "x", count: 255),
  ])
  func `any other UTF-8 is a name, and reads back`(text: String) throws {
    let name = try FileName(text)
    #expect(name.description == text)
    #expect(try FileName(bytes: name.bytes) == name)
  }

  @Test(arguments: [
    ("", "empty"), (".", "not kept"), ("..", "not kept"), ("a/b", "not allowed"), ("/", "not allowed"),
    ("a\0", "not allowed"), (String(repeating: "x", count: 256), "longer"),
    (String(repeating: "é", count: 128), "longer"),
  ])
  func `a name that breaks a rule is refused with that rule`(text: String, reason: String) {
    let error = #expect(throws: DFSError.self) { try FileName(text) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains(reason) == true)
  }

  @Test(arguments: [
    [0xFF], [0x61, 0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82],
  ])
  func `bytes that are not UTF-8 are refused`(bytes: [UInt8]) {
    #expect(throws: DFSError.self) { try FileName(bytes: bytes) }
  }

  @Test func `names are compared byte by byte, not by what Unicode calls equal`() throws {
    let composed = try FileName("\u{E9}")
    let decomposed = try FileName("e\u{301}")
    #expect(composed != decomposed)
    #expect(try FileName("a") < FileName("b"))
    #expect(try FileName("Z") < FileName("a"))
    #expect(try FileName("a") < FileName("aa"))
    #expect(try FileName("z") < FileName("é"))
    #expect(try !(FileName("a") < FileName("a")))
  }

  @Test func `random bytes are a name exactly when the rules say so`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<20_000 {
      let bytes =
        (0..<Int.random(in: 0...6, using: &random)).map { _ in
          [0, 0x2E, 0x2F, 0x61, 0x80, 0xC3, 0xA9, 0xFF].randomElement(using: &random) ?? 0
        } as [UInt8]
      let legal =
        !bytes.isEmpty && bytes != [0x2E] && bytes != [0x2E, 0x2E] && !bytes.contains(0)
        && !bytes.contains(0x2F) && String(validating: bytes, as: UTF8.self) != nil
      #expect((try? FileName(bytes: bytes))?.bytes == (legal ? bytes : nil), "\(bytes)")
    }
  }
}

struct RemotePathTests {
  @Test(arguments: [
    ("/", "/"), ("/a", "/a"), ("/a/b", "/a/b"), ("//a///b/", "/a/b"), ("/a b/ü", "/a b/ü"), ("/...", "/..."),
  ])
  func `slashes are tidied and nothing else is`(text: String, tidy: String) throws {
    let path = try RemotePath(text)
    #expect(path.description == tidy)
    #expect(try RemotePath(path.description) == path)
  }

  @Test(arguments: ["", "a", "a/b", "./a", "~/a", "/a/./b", "/a/../b", "/..", "/.", "/a\0b", "C:\\a"])
  func `what is relative or would have to be resolved is refused`(text: String) {
    let error = #expect(throws: DFSError.self) { try RemotePath(text) }
    #expect(error?.code == .invalidArgument)
  }

  @Test func `a path nests 512 deep and no deeper`() throws {
    let deepest = String(repeating: "/d", count: RemotePath.deepest)
    #expect(try RemotePath(deepest).components.count == 512)
    #expect(throws: DFSError.self) { try RemotePath(deepest + "/d") }
    #expect(throws: DFSError.self) { try RemotePath("/" + String(repeating: "x", count: 256)) }
  }

  @Test func `name, parent and children fit together`() throws {
    let path = try RemotePath("/a/b")
    #expect(path.name == (try FileName("b")))
    #expect(path.parent == (try RemotePath("/a")))
    #expect(path.parent?.parent == .root)
    #expect(RemotePath.root.parent == nil)
    #expect(RemotePath.root.name == nil)
    #expect(RemotePath.root.isRoot && !path.isRoot)
    #expect(path.parent?.appending(try FileName("b")) == path)
  }

  @Test func `a prefix is made of whole components`() throws {
    let path = try RemotePath("/ab/c")
    #expect(path.starts(with: .root))
    #expect(path.starts(with: path))
    #expect(path.starts(with: try RemotePath("/ab")))
    #expect(!path.starts(with: try RemotePath("/a")))
    #expect(!(try RemotePath("/ab")).starts(with: path))
  }
}
