package record

func (m *msgpackReader) graphQL() (s GraphQLStats) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "IsGraphQL":
			s.IsGraphQL = m.bool()
		case "HasErrors":
			s.HasErrors = m.bool()
		case "OperationType":
			s.OperationType = m.int32()
		case "Variables":
			s.Variables = m.str()
		case "RootFields":
			s.RootFields = m.strs()
		case "Types":
			s.Types = m.types()
		case "Errors":
			s.Errors = m.graphQLErrors()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return s
}

func (m *msgpackReader) types() map[string][]string {
	if m.null() {
		return nil
	}
	types := make(map[string][]string)
	m.entries(func(key string) { types[key] = m.strs() })
	return types
}

func (m *msgpackReader) graphQLErrors() []GraphQLError {
	n, some := m.arrayLen()
	if !some {
		return nil
	}
	list := make([]GraphQLError, 0, n)
	for ; n > 0 && m.fail == nil; n-- {
		list = append(list, m.graphQLError())
	}
	return list
}

func (m *msgpackReader) graphQLError() (e GraphQLError) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "Message":
			e.Message = m.str()
		case "Path":
			e.Path = m.values(0)
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return e
}
