package reference

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	_ "google.golang.org/protobuf/types/known/timestamppb" // the schema imports it

	"sluice/schemas"
)

const schemaFile = "proto/analytics.proto"

// Descriptor compiles the schema's AnalyticsRecord. It takes strings that are not UTF-8, as a gateway writes them.
func Descriptor() (protoreflect.MessageDescriptor, error) { return compile(acceptAnyBytes) }

var strict = sync.OnceValues(func() (protoreflect.MessageDescriptor, error) {
	return compile(func(*descriptorpb.FileDescriptorProto) {})
})

// Strict tells whether a reader of protobuf that knows nothing but the schema takes the payload.
func Strict(payload []byte) error {
	desc, err := strict()
	if err != nil {
		return err
	}
	return proto.Unmarshal(payload, dynamicpb.NewMessage(desc))
}

func compile(change func(*descriptorpb.FileDescriptorProto)) (protoreflect.MessageDescriptor, error) {
	src, err := schemas.Proto.ReadFile(schemaFile)
	if err != nil {
		return nil, err
	}
	file, err := parse(string(src))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", schemaFile, err)
	}
	change(file)
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", schemaFile, err)
	}
	return fd.Messages().ByName("AnalyticsRecord"), nil
}

// acceptAnyBytes turns the file into an edition that is proto3 in everything, but does not refuse strings that are not
// UTF-8.
func acceptAnyBytes(file *descriptorpb.FileDescriptorProto) {
	file.Syntax = proto.String("editions")
	file.Edition = descriptorpb.Edition_EDITION_2023.Enum()
	file.Options = &descriptorpb.FileOptions{Features: &descriptorpb.FeatureSet{
		FieldPresence:  descriptorpb.FeatureSet_IMPLICIT.Enum(),
		EnumType:       descriptorpb.FeatureSet_OPEN.Enum(),
		Utf8Validation: descriptorpb.FeatureSet_NONE.Enum(),
	}}
}

var (
	openLine  = regexp.MustCompile(`^(message|enum) (\w+) \{$`)
	valueLine = regexp.MustCompile(`^(\w+) = (\d+);$`)
	fieldLine = regexp.MustCompile(`^(repeated )?([\w.]+|map<string, \w+>) (\w+) = (\d+);$`)
)

// parse reads the little of the language that the schema uses: one declaration a line, messages and enums of the
// package only at the top. Any other line is an error.
func parse(src string) (*descriptorpb.FileDescriptorProto, error) {
	p := parser{file: &descriptorpb.FileDescriptorProto{
		Name:       proto.String(schemaFile),
		Dependency: []string{"google/protobuf/timestamp.proto"},
	}}
	for i, line := range strings.Split(src, "\n") {
		line, _, _ = strings.Cut(line, "//")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	p.resolve()
	return p.file, nil
}

type parser struct {
	file    *descriptorpb.FileDescriptorProto
	message *descriptorpb.DescriptorProto
	enum    *descriptorpb.EnumDescriptorProto
}

func (p *parser) line(line string) error {
	if m := openLine.FindStringSubmatch(line); m != nil {
		p.open(m[1], m[2])
		return nil
	}
	if m := valueLine.FindStringSubmatch(line); m != nil && p.enum != nil {
		n, err := strconv.ParseInt(m[2], 10, 32)
		p.enum.Value = append(p.enum.Value,
			&descriptorpb.EnumValueDescriptorProto{Name: proto.String(m[1]), Number: proto.Int32(int32(n))})
		return err
	}
	if m := fieldLine.FindStringSubmatch(line); m != nil && p.message != nil {
		return p.field(m[1] != "", m[2], m[3], m[4])
	}
	if name, ok := strings.CutPrefix(line, "package "); ok {
		p.file.Package = proto.String(strings.TrimSuffix(name, ";"))
		return nil
	}
	switch line {
	case "}":
		p.message, p.enum = nil, nil
	case `syntax = "proto3";`:
		p.file.Syntax = proto.String("proto3")
	case `import "google/protobuf/timestamp.proto";`:
	default:
		return fmt.Errorf("%q is not understood", line)
	}
	return nil
}

func (p *parser) open(kind, name string) {
	if kind == "enum" {
		p.enum = &descriptorpb.EnumDescriptorProto{Name: proto.String(name)}
		p.file.EnumType = append(p.file.EnumType, p.enum)
		return
	}
	p.message = &descriptorpb.DescriptorProto{Name: proto.String(name)}
	p.file.MessageType = append(p.file.MessageType, p.message)
}

func (p *parser) field(repeated bool, typ, name, number string) error {
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return err
	}
	if value, ok := strings.CutPrefix(typ, "map<string, "); ok {
		typ, repeated = p.entry(name, strings.TrimSuffix(value, ">")), true
	}
	p.message.Field = append(p.message.Field, newField(repeated, typ, name, int32(n)))
	return nil
}

// entry declares the message that a map's entries are, and returns its type.
func (p *parser) entry(field, value string) string {
	name := field + "Entry"
	p.message.NestedType = append(p.message.NestedType, &descriptorpb.DescriptorProto{
		Name: proto.String(name),
		Field: []*descriptorpb.FieldDescriptorProto{
			newField(false, "string", "key", 1), newField(false, value, "value", 2)},
		Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
	})
	return p.message.GetName() + "." + name
}

func newField(repeated bool, typ, name string, number int32) *descriptorpb.FieldDescriptorProto {
	f := &descriptorpb.FieldDescriptorProto{
		Name: proto.String(name), Number: proto.Int32(number),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	if scalar, ok := descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(typ)]; ok {
		f.Type = descriptorpb.FieldDescriptorProto_Type(scalar).Enum()
	} else {
		f.TypeName = proto.String(typ)
	}
	return f
}

// resolve writes type names in full, and tells enums from messages.
func (p *parser) resolve() {
	enums := map[string]bool{}
	for _, e := range p.file.GetEnumType() {
		enums[e.GetName()] = true
	}
	for _, m := range p.file.GetMessageType() {
		fields := m.GetField()
		for _, entry := range m.GetNestedType() {
			fields = append(fields, entry.GetField()...)
		}
		for _, f := range fields {
			p.resolveField(f, enums)
		}
	}
}

func (p *parser) resolveField(f *descriptorpb.FieldDescriptorProto, enums map[string]bool) {
	name := f.GetTypeName()
	switch {
	case name == "":
		return
	case enums[name]:
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum()
	default:
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	}
	if !strings.HasPrefix(name, "google.") {
		name = p.file.GetPackage() + "." + name
	}
	f.TypeName = proto.String("." + name)
}
